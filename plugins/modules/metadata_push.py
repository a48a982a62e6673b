#!/usr/bin/python
# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: metadata_push
short_description: Send all servers of a stack their documents and run their agents
version_added: 0.1.0
description:
  - Reads the documents of each server from the stored plan, puts the stack's secrets into them, and hands them to the
    node agent over SSH. Host keys are known from the deployment.
  - Documents travel by their digests. A server gets only those that it does not have as they should be.
  - The agent stores them, renders the configuration files, runs the refresh phases and checks each service's health.
  - A server that is healthy with the same documents, and whose files are as they were rendered, is not touched.
  - All servers are worked on in one call, many at once. One that fails does not stop the others, unless O(canary) or
    O(max_fail_percentage) say so. Servers that were not begun then are in RV(skipped_nodes), and come next time.
  - What Heat deployments on the servers report is stored, see RV(outputs).
  - Each step goes to the event file, the stages V(configured) and V(healthy) to the state as well.
options:
  fan_out:
    description: How many servers are worked on at once.
    type: int
    default: 50
  serial:
    description:
      - Sizes of the batches in which the servers are worked on, as in an Ansible play. Numbers or percentages of all
        servers; the last one counts for all further batches. Without it they are one batch.
      - A batch begins when the one before it has ended. When all servers of a batch fail, no further one begins.
    type: list
    elements: str
    default: []
  max_fail_percentage:
    description:
      - When more than this percentage of a batch has failed, no further server is begun, of this batch or of another.
        As in an Ansible play, it has to be exceeded.
    type: float
  canary:
    description:
      - Names of servers, or a number or a percentage, that are worked on first and alone. The others are begun only
        when all of these are healthy.
      - Of a number, those are taken first whose documents are new.
    type: list
    elements: str
    default: []
  control_persist:
    description:
      - Seconds that an idle connection to a server is kept for the next call of this module, as OpenSSH's option of
        this name. None is kept when nothing has to be pushed. A call without it uses the connections that are kept, and
        ends them, unless it is in check mode.
    type: int
    default: 0
  connect_timeout:
    description: Seconds that a server may take to answer, and that a broken connection is tried again.
    type: int
    default: 300
  node_timeout:
    description: Seconds that the phases of one server may take. Then the running script is killed.
    type: int
    default: 1800
  health_timeout:
    description: Seconds that the services of a server have to become healthy after the phases.
    type: int
    default: 300
  force:
    description: Whether the phases also run where nothing differs.
    type: bool
    default: false
  port:
    description: Port of the servers' SSH.
    type: int
    default: 22
  agent:
    description: Path of the node agent on the servers.
    type: str
    default: /usr/local/bin/node-agent
extends_documentation_fragment:
  - tripleo.cloud.attributes
  - tripleo.cloud.batch
  - tripleo.cloud.batch.planned
attributes:
  check_mode:
    support: full
    details: Servers that were configured before are asked for their status.
  diff_mode:
    support: full
    details: Shows how documents change, with the stand-ins of secrets.
  idempotent:
    support: full
seealso:
  - module: tripleo.cloud.apply_config
author:
  - The tripleo.cloud authors (@tripleo)
"""

EXAMPLES = r"""
- name: Configure all servers
  tripleo.cloud.metadata_push:
    state_dir: /var/lib/tripleo-cloud
    stack: workload-cloud
    run_id: "{{ boot.run_id }}"

- name: Configure one server again
  tripleo.cloud.metadata_push:
    stack: workload-cloud
    only: [workload-cloud-controller-0]
    force: true

- name: Configure one server, then the others in growing batches, and stop when more than a tenth of a batch fails
  tripleo.cloud.metadata_push:
    stack: workload-cloud
    canary: [1]
    serial: [10, "25%"]
    max_fail_percentage: 10
"""

RETURN = r"""
plan:
  description: Hash of the plan whose documents were pushed.
  returned: always
  type: str
total:
  description: Number of servers that the task was for.
  returned: always
  type: int
  sample: 2
pushed_nodes:
  description: Servers whose agents ran, or in check mode would run, and why.
  returned: always
  type: dict
  sample: {workload-cloud-controller-0: its documents differ}
changed_nodes:
  description: Servers on which a document, a file or the health of a service changed, or in check mode may change.
  returned: always
  type: list
  elements: str
  sample: [workload-cloud-controller-0]
failed_nodes:
  description: Servers that failed, each with C(node), C(operation), C(cause) and C(next_step).
  returned: always
  type: list
  elements: dict
  sample: []
unbooted_nodes:
  description: Servers whose operating systems have not reported under this plan. Boot them by C(tripleo.cloud.deploy).
  returned: when the stack has a plan
  type: list
  elements: str
  sample: []
services:
  description: Whether each service is healthy, by server.
  returned: always
  type: dict
  sample: {workload-cloud-controller-0: {keystone: true, mysql: true}}
rolled_back_nodes:
  description: Servers that failed and got the files of their last good generation back.
  returned: always
  type: list
  elements: str
  sample: []
skipped_nodes:
  description: Servers that were not begun because others failed, and which.
  returned: always
  type: dict
  sample: {workload-cloud-compute-7: "1 of 1 servers of canary failed: workload-cloud-compute-0"}
outputs:
  description:
    - What the Heat deployments of each server reported, by their ids, with C(name), C(status) (V(COMPLETE), V(FAILED)
      or V(IN_PROGRESS)), C(reason) and C(outputs). Secrets are masked. M(tripleo.cloud.stack_info) returns it later.
  returned: always
  type: dict
  sample:
    workload-cloud-controller-0:
      6d02: {name: 50-join, status: COMPLETE, reason: Outputs received, outputs: {deploy_status_code: 0}}
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tripleo.cloud.plugins.module_utils._module import BATCH_SPEC, PLANNED_SPEC, load_private, run
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.changes import describe_setup
from ansible_collections.tripleo.cloud.plugins.module_utils._plan.secrets import fill, redactor
from ansible_collections.tripleo.cloud.plugins.module_utils._push import control
from ansible_collections.tripleo.cloud.plugins.module_utils._push.batches import Rollout
from ansible_collections.tripleo.cloud.plugins.module_utils._push.deliver import Outcome, Settings, deliver
from ansible_collections.tripleo.cloud.plugins.module_utils._push.preview import configured_with, pending
from ansible_collections.tripleo.cloud.plugins.module_utils._push.record import StateRecorder
from ansible_collections.tripleo.cloud.plugins.module_utils._push.ssh import Access
from ansible_collections.tripleo.cloud.plugins.module_utils._push.targets import chosen, read_document, targets
from ansible_collections.tripleo.cloud.plugins.module_utils._run import lease
from ansible_collections.tripleo.cloud.plugins.module_utils._state.secrets import SecretStore
from ansible_collections.tripleo.cloud.plugins.module_utils._state.store import State


def push(given: dict[str, Any], check: bool, diff: bool) -> dict[str, Any]:
    """Configure the servers; the module's result."""
    state_dir, stack = given["state_dir"], given["stack"]
    holding = lease.hold(state_dir, stack, given["plan"] or "", given["run_id"], check=check)
    secrets = SecretStore(state_dir, stack).values()
    planned = given["planned"] if check else {}
    with holding as alive, State.open(state_dir, read_only=check) as state:
        stored = state.current_plan(stack)
        if check and stored is None and not planned:
            known_later: dict[str, Any] = {"pushed_nodes": {}, "changed_nodes": [], "failed_nodes": [], "services": {}}
            known_later.update(skipped_nodes={}, rolled_back_nodes=[], outputs={})
            return {"changed": True, "plan": "", "total": 0, "msg": "the servers are known after deploy", **known_later}
        plan = planned["plan"] if planned else state.plan(stack, given["plan"] or None)
        named = chosen(plan, given["only"])
        pushed = {name: why for name, why in pending(plan, stored).items() if name in named} if planned else {}
        asked = [name for name in named if name not in pushed]
        connections = control.folder(state_dir, stack, given["port"])
        if given["control_persist"]:
            control.make(connections)
        settings = Settings(
            access=Access.of_stack(
                state_dir,
                stack,
                port=given["port"],
                agent=given["agent"],
                connect_seconds=given["connect_timeout"],
                control="" if check and not given["control_persist"] else connections,
                keep_seconds=given["control_persist"],
            ),
            fill=lambda document: fill(document, secrets),
            redact=redactor(secrets),
            fan_out=given["fan_out"],
            node_seconds=given["node_timeout"],
            health_seconds=given["health_timeout"],
            force=given["force"],
            check=check,
            rollout=Rollout(given["serial"], given["canary"], given["max_fail_percentage"]),
        )
        recorder = StateRecorder(state, stack, str(plan["hash"]), given["run_id"] or "")
        there = targets(state_dir, stored, state.servers(stack), asked) if stored and asked else []
        outcomes: list[Outcome] = []
        try:
            outcomes = deliver(there, settings, recorder, alive)
        finally:
            if not (check or given["control_persist"]) or not any(one.pushed or one.error for one in outcomes):
                control.end(connections)
        pushed.update((outcome.target.server, outcome.reason) for outcome in outcomes if outcome.pushed)
        result: dict[str, Any] = {
            "plan": plan["hash"],
            "total": len(named),
            "pushed_nodes": dict(sorted(pushed.items())),
            "changed_nodes": sorted({*pushed} - {one.target.server for one in outcomes if not one.changed}),
            "failed_nodes": [outcome.error.as_failure() for outcome in outcomes if outcome.error],
            "unbooted_nodes": [outcome.target.server for outcome in outcomes if not outcome.target.booted],
            "services": {one.target.server: dict(one.services) for one in outcomes},
            "skipped_nodes": {one.target.server: one.skipped for one in outcomes if one.skipped},
            "rolled_back_nodes": [one.target.server for one in outcomes if one.rolled_back],
            "outputs": {one.target.server: dict(one.outputs) for one in outcomes if one.outputs},
        }
        result["changed"] = bool(result["changed_nodes"])
        skipped = result["skipped_nodes"]
        if skipped:
            result["warnings"] = [f"not begun: {', '.join(skipped)}, because {next(iter(skipped.values()))}"]
        if diff and pushed:
            had = {one.target.server: str(one.before.get("digest") or "") for one in outcomes}
            result["diff"] = {"prepared": _words(state, plan, pushed, had, planned.get("documents") or {})}
    return result


def _words(
    state: State, plan: Mapping[str, Any], pushed: Mapping[str, str], had: Mapping[str, str], new: Mapping[str, Any]
) -> str:
    """Which servers are configured and why, and how their documents change. new: documents that are not stored yet."""

    def read(name: str) -> Any:
        return new[name] if name in new else read_document(state.state_dir, name)

    entries = {path: entry for path, entry in plan["servers"].items() if entry["name"] in pushed}
    stored = state.current_plan(str(plan["stack"]))
    plans = [stored, *state.earlier_plans(str(plan["stack"]))] if stored else []
    return describe_setup(entries, configured_with(plans, entries, had), pushed, read)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **BATCH_SPEC,
            **PLANNED_SPEC,
            "fan_out": {"type": "int", "default": 50},
            "serial": {"type": "list", "elements": "str", "default": []},
            "max_fail_percentage": {"type": "float"},
            "canary": {"type": "list", "elements": "str", "default": []},
            "control_persist": {"type": "int", "default": 0},
            "connect_timeout": {"type": "int", "default": 300},
            "node_timeout": {"type": "int", "default": 1800},
            "health_timeout": {"type": "int", "default": 300},
            "force": {"type": "bool", "default": False},
            "port": {"type": "int", "default": 22},
            "agent": {"type": "str", "default": "/usr/local/bin/node-agent"},
        },
        supports_check_mode=True,
    )
    load_private(module)
    run(module, lambda: push(module.params, module.check_mode, module._diff))


if __name__ == "__main__":
    main()
