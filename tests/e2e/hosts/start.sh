#!/bin/sh
# Both servers as a host without systemd runs them; the container ends with the engine.
set -eu
install -d -m 0700 -o deploy -g deploy /home/deploy/.ssh
printf '%s\n' "$AUTHORIZED_KEY" >/home/deploy/.ssh/authorized_keys
chown deploy:deploy /home/deploy/.ssh/authorized_keys
ssh-keygen -A >/dev/null
/usr/sbin/sshd -e
exec dockerd --host=unix:///run/docker.sock --storage-driver="${STORAGE_DRIVER:-overlay2}"
