# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-collect-config's command line."""

from __future__ import annotations

import logging
import os
import signal
import sys

from _node import options
from _node.collect import Collector
from _node.errors import NodeError

FORMAT = "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s [-] %(message)s"


def main(arguments: list[str]) -> int:
    """Collect; the exit status of the command when it ran once, else 0."""
    # systemd starts anew what died of a closed pipe; what ignores it goes on without a word.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        settings = options.parse(arguments, os.environ)
        _log_to(settings)
        return Collector(settings, os.environ).main()
    except OSError as error:
        raise NodeError(f"{error.filename or 'os-collect-config'}: {error.strerror}") from error


def _log_to(settings: options.Settings) -> None:
    """Without a log, warnings and errors go to standard error as they are: that is logging's own last resort."""
    root = logging.getLogger()
    root.setLevel(logging.DEBUG if settings["debug"] else logging.INFO)
    path = settings["log_file"]
    if settings["log_dir"]:
        path = os.path.join(settings["log_dir"], path or "os-collect-config.log")
    handlers: list[logging.Handler] = [logging.FileHandler(path, delay=True)] if path else []
    if settings["use_stderr"]:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(logging.Formatter(FORMAT, settings["log_date_format"]))
        root.addHandler(handler)
