# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``service``, and what it starts: ``resume`` once, ``poll`` as often as the settings say."""

from __future__ import annotations

import logging
import os
import sys

from _node import paths, polling
from _node.errors import NodeError


def serve() -> int:
    """Serve until SIGTERM; the exit status."""
    from _node import service

    places = paths.from_environment(os.environ)
    try:
        return service.Service(places, lambda: _polling(places)).run()
    except OSError as error:
        raise NodeError(f"the service cannot work: {error}") from error


def _polling(places: paths.Paths) -> polling.Polling:
    """The settings that hold now. What is wrong with them turns polling off, and is told."""
    try:
        return polling.polling(polling.settings(places, os.environ))
    except NodeError as error:
        print(f"node-agent: polling is off: {error}", file=sys.stderr, flush=True)
        return polling.Polling()


def resume() -> int:
    """Repair a run that was cut off, or files that differ; 0 when there was nothing to do or all went well."""
    import command_push
    from _node import run

    teller = command_push.Teller()
    result = run.resume(teller.paths, command_push.environment(), teller.take)
    if result:
        teller.take({"result": result})
    return 0 if result is None or result["healthy"] else 1


def once() -> int:
    """Poll once; 0 when every source gave its documents and they hold."""
    import command_push
    from _node import poll

    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    teller = command_push.Teller()
    using = polling.settings(teller.paths, os.environ)
    return 0 if poll.poll(teller.paths, using, command_push.environment(), teller.take) else 1
