#!/bin/sh
# Makes the secrets that compose.yaml mounts, in deploy/secrets/. What is already there stays.
#
# The folder is closed to all but its owner. The files in it are readable, since Compose mounts them as they are, and the
# users inside the containers are not the owner.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
for name in sample_key page_password grafana_password; do
    if [ ! -s "secrets/$name" ]; then
        od -An -N24 -tx1 /dev/urandom | tr -d ' \n' > "secrets/$name"
        chmod 0644 "secrets/$name"
        echo "made deploy/secrets/$name"
    fi
done
# Only you have these: where Alertmanager delivers to.
for name in slack-url pagerduty-routing-key webhook-token; do
    if [ ! -e "secrets/$name" ]; then
        : > "secrets/$name"
        chmod 0644 "secrets/$name"
        echo "made deploy/secrets/$name, empty: write it yourself, or let no route of alertmanager.yaml lead there"
    fi
done
