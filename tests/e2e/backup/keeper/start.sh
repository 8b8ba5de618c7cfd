#!/bin/sh
# With the keys that the test has made, so that it knows them beforehand.
set -eu
umask 077
printf '%s\n' "$HOST_KEY" >/etc/ssh/host_key
umask 022
printf '%s\n' "$AUTHORIZED_KEY" >/etc/ssh/authorized_keys
exec /usr/sbin/sshd -D -e
