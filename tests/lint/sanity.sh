#!/usr/bin/env bash
# Runs ansible-test's sanity tests on the collection as it ships. Everything it makes lies in .cache/.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$root/.venv/bin
ship=$root/.cache/ship
export HOME=$root/.cache/home PATH=$bin:$PATH
unset ANSIBLE_CONFIG
mkdir -p "$ship" "$HOME/.ansible/test/cache"

# ansible-test wants to download a bootstrap of pip from a host that is no package registry; Python brings its own.
cat > "$HOME/.ansible/test/cache/get_pip_24_2.py" <<'PYTHON'
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip"])
flags = [word for word in sys.argv[1:] if not word.startswith("--no-")]
subprocess.check_call([sys.executable, "-m", "pip", "install", *flags])
PYTHON

cd "$root/.cache"
rm -f tripleo-cloud-*.tar.gz
ansible-galaxy collection build --force --output-path "$root/.cache" "$root" > /dev/null
ansible-galaxy collection install --force --no-deps -p "$ship" "$root"/.cache/tripleo-cloud-*.tar.gz > /dev/null
cd "$ship/ansible_collections/tripleo/cloud"
# Below this repository's .cache, which is ignored, ansible-test would see no file.
git init -q .
exec ansible-test sanity --local --python 3.11 --color no "$@"
