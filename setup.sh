#!/bin/sh
# Make .venv with uv and the toolkit's locked dependencies; do nothing when it is current.
# Indexes and mirrors come from PIP_INDEX_URL, UV_DEFAULT_INDEX, UV_FIND_LINKS, as usual.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd -- "$root"
environment=$root/.venv
python=$environment/bin/python
stamp=$environment/.slipway-complete

refuse() {
    printf 'setup.sh: %s\n  next: %s\n' "$1" "$2" >&2
    exit 2
}

# What the environment was made from; it names the folder, because environments do not move.
current() {
    printf '%s\n' "$root"
    cat requirements/uv.txt requirements/toolkit.txt setup.sh
}

if [ -x "$python" ] && [ -f "$stamp" ] && current | cmp -s - "$stamp"; then
    exit 0
fi

# A site behind a TLS-inspecting proxy has its own authority in the system's bundle.
bundle=/etc/ssl/certs/ca-certificates.crt
if [ -r "$bundle" ]; then
    export PIP_CERT="${PIP_CERT:-$bundle}" UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-120}"

suitable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

found=
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 && suitable "$candidate"; then
        found=$candidate
        break
    fi
done
uv=$(command -v uv || true)

if [ -z "$found$uv" ]; then
    if version=$(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null); then
        refuse "python3 is $version, and 3.11 or newer is needed" \
            'apt-get install python3.11 python3.11-venv (Ubuntu 22.04: both are in universe)'
    fi
    refuse 'there is no python3 here' 'apt-get install python3 python3-venv'
fi

rm -f "$stamp"
if [ -n "$found" ] && "$found" -c 'import ensurepip, venv' 2>/dev/null; then
    "$found" -m venv --clear "$environment"
    "$python" -m pip install --quiet --quiet --require-hashes --requirement requirements/uv.txt
    uv=$environment/bin/uv
elif [ -n "$uv" ]; then
    "$uv" venv --quiet --clear --python "${found:->=3.11}" "$environment"
else
    version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    refuse "$found cannot make environments: its venv module is not complete" \
        "apt-get install python$version-venv"
fi

VIRTUAL_ENV=$environment "$uv" pip sync --quiet --require-hashes requirements/toolkit.txt
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf '%s/src\n' "$root" >"$packages/slipway.pth"
current >"$stamp"
printf 'The toolkit is ready: .venv/bin/invoke -l, .venv/bin/nox -l\n'
