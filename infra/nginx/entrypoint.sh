#!/bin/sh
set -eu

run=/run/slipway-edge
state=/var/lib/slipway-edge

for file in /run/secrets/tls.crt /run/secrets/tls.key; do
    if [ ! -r "$file" ]; then
        echo "edge: $file cannot be read by user $(id -u): mount the edge's secrets at /run/secrets" >&2
        exit 1
    fi
done

if [ ! -w "$state" ]; then
    echo "edge: $state cannot be written by user $(id -u): mount a volume there that belongs to this user" >&2
    exit 1
fi

if ! mkdir -p "$run"; then
    echo "edge: $run cannot be made: mount a tmpfs at /run that belongs to user $(id -u)" >&2
    exit 1
fi
rm -rf "$run"/*.sock "$state/body"
slipway-edge settings --write "$run"

# A name server that hangs must not hold up the round that takes a dead backend out.
export RES_OPTIONS="timeout:1 attempts:1"

# The loop is orphaned on purpose: NGINX must find no child that it did not start,
# and the container must end when NGINX ends, whatever the agent does.
(
    (
        while :; do
            slipway-edge agent || echo "edge: the agent ended with code $?; starting it again" >&2
            sleep 1
        done
    ) &
)

exec nginx
