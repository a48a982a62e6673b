# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lays out a state directory with a plan for two servers, and starts the sshd that plays them; prints what it made."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

CLOUD = Path(__file__).parents[4] / "unit" / "plugins" / "module_utils" / "_push" / "push_cloud.py"


def main() -> None:
    spec = spec_from_file_location("push_cloud", CLOUD)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    cloud = module.Cloud(Path(sys.argv[1]), servers=2)
    values = cloud.state_dir / "secrets" / module.STACK / "values.json"
    values.write_text(json.dumps({"%{secret:Mysql#1}": module.SECRET}))
    cloud.start()
    module.wait_for(cloud)
    made = {"port": cloud.port, "agent": str(cloud.folder / "node-agent"), "pid": cloud.sshd.pid}
    print(json.dumps({**made, "state_dir": str(cloud.state_dir), "stack": module.STACK, "plan": cloud.plan["hash"]}))


if __name__ == "__main__":
    main()
