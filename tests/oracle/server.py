# Copyright: (c) 2026, the tripleo.cloud authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One side of a comparison: a process in a mount namespace of its own that runs programs by forking itself.

Reads one JSON request a line from standard input and answers each with one line. The programs' libraries are loaded
once; the program itself is imported after the fork, so that what it reads at import is as in a process of its own.
Started as ``server.py original`` by the Python of the originals, or ``server.py ours ZIPAPP``.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import os
import shutil
import signal
import stat
import sys
import time
import traceback

HOME = "/mnt/home"
ROOTS = ("/mnt", "/var/lib", "/var/log", "/var/cache", "/run", "/opt", "/usr/libexec", "/tmp")
ORIGINALS = {
    "os-apply-config": "os_apply_config.apply_config",
    "os-config-applier": "os_apply_config.apply_config",
    "os-collect-config": "os_collect_config.collect",
    "os-refresh-config": "os_refresh_config.os_refresh_config",
}
LOADED = {
    "original": ("yaml", "pystache", "psutil", "oslo_config.cfg", "oslo_log.log", "requests", "lxml.etree"),
    "heavy": ("keystoneclient.v3.client", "keystoneclient.discover", "heatclient.client", "dogpile.cache",
              "keystoneclient.contrib.ec2.utils", "zaqarclient.queues.v2.client", "zaqarclient.transport.request"),
    "ours": ("node_agent", "command_apply", "command_refresh", "command_collect", "subprocess"),
}  # fmt: skip


class Server:
    def __init__(self, side: str, program: str) -> None:
        self.side = side
        self.program = program
        self.running: dict[int, str] = {}

    def reset(self) -> None:
        for pid in list(self.running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            self.wait(pid)
        for root in ROOTS:
            for name in os.listdir(root):
                path = os.path.join(root, name)
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                else:
                    os.unlink(path)
        os.mkdir(HOME)

    def write(self, path, text="", mode=None, kind="file", owner=None):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if kind == "link":
            os.symlink(text, path)
            return
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            os.makedirs(path, exist_ok=True)
        else:
            with open(path, "wb") as stream:
                stream.write(base64.b64decode(text))
        if owner is not None:
            os.chown(path, *owner)
        if mode is not None:
            os.chmod(path, mode)

    def remove(self, path):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    def start(self, argv, env, cwd, stdin=""):
        output = f"/dev/shm/oracle-{os.getpid()}-{time.monotonic_ns()}"
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = self.child(argv, env, cwd, stdin, output)
            except BaseException:
                traceback.print_exc()
            finally:
                with contextlib.suppress(Exception):
                    sys.stdout.flush()
                os._exit(status)
        self.running[pid] = output
        return pid

    def child(self, argv, env, cwd, stdin, output):
        os.setsid()
        os.chdir(cwd)
        for descriptor, suffix in ((1, ".out"), (2, ".err")):
            opened = os.open(output + suffix, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(opened, descriptor)
            os.close(opened)
        given = os.memfd_create("stdin")
        os.write(given, base64.b64decode(stdin))
        os.lseek(given, 0, os.SEEK_SET)
        os.dup2(given, 0)
        os.close(given)
        # As a new process has them: block buffered, for a file.
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
        sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
        path = self.bin(argv[0])
        if argv[0] not in ORIGINALS and not (self.side == "ours" and argv[0] == "dib-run-parts"):
            os.execvpe(path, argv, env)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = [path, *argv[1:]]
        sys.orig_argv = [sys.executable, *sys.argv]
        try:
            if self.side == "ours":
                status = importlib.import_module("node_agent").main(sys.argv)
            else:
                status = importlib.import_module(ORIGINALS[argv[0]]).main()
        except SystemExit as end:
            status = end.code
        except BaseException:
            traceback.print_exc()
            status = 1
        if isinstance(status, str):
            print(status, file=sys.stderr)
            status = 1
        sys.stdout.flush()
        return int(status or 0) & 0xFF

    def bin(self, name):
        return os.path.join(self.program, name)

    def signal(self, pid, number):
        os.kill(pid, number)

    def wait(self, pid, seconds=60):
        """Exit status, output and errors; the status is -1 when the time has passed."""
        deadline = time.monotonic() + seconds
        output = self.running[pid]
        while True:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                break
            if time.monotonic() > deadline:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                status = -1
                break
            time.sleep(0.002)
        del self.running[pid]
        texts = []
        for suffix in (".out", ".err"):
            with open(output + suffix, "rb") as stream:
                texts.append(base64.b64encode(stream.read()).decode())
            os.unlink(output + suffix)
        return [os.waitstatus_to_exitcode(status) if status >= 0 else -1, *texts]

    def run(self, **request):
        return self.wait(self.start(**request))

    def snapshot(self, root):
        """Each entry below root: kind, mode, owner, and content or target."""
        found = {}
        for folder, folders, names in os.walk(root):
            for name in [*folders, *names]:
                path = os.path.join(folder, name)
                status = os.lstat(path)
                content = ""
                if stat.S_ISREG(status.st_mode):
                    with open(path, "rb") as stream:
                        content = base64.b64encode(stream.read()).decode()
                elif stat.S_ISLNK(status.st_mode):
                    content = os.readlink(path)
                found[path] = [oct(status.st_mode), status.st_uid, status.st_gid, content]
        return found

    def read(self, path):
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as stream:
            return base64.b64encode(stream.read()).decode()

    def inode(self, path):
        return os.stat(path).st_ino if os.path.exists(path) else 0


def main():
    side, program = sys.argv[1:]
    if side == "ours":
        sys.path.insert(0, os.path.realpath(os.path.join(program, "os-apply-config")))
    for name in LOADED[side] + (LOADED["heavy"] if side == "original" else ()):
        importlib.import_module(name)
    server = Server(side, program)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"value": getattr(server, request.pop("do"))(**request)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
