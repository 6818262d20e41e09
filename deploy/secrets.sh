#!/bin/sh
# Makes the secrets that compose.yaml and compose.roles.yaml mount, in deploy/secrets/. What is already there stays.
#
# The folder is closed to all but its owner. The files in it are readable, since Compose mounts them as they are, and the
# users inside the containers are not the owner.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
for name in sample_key page_password grafana_password store_password; do
    if [ ! -s "secrets/$name" ]; then
        od -An -N24 -tx1 /dev/urandom | tr -d ' \n' > "secrets/$name"
        chmod 0644 "secrets/$name"
        echo "made deploy/secrets/$name"
    fi
done
# Of compose.roles.yaml: where the store is, and the key of the text in it. Keep a copy of the key elsewhere.
if [ ! -s secrets/store_url ]; then
    echo "postgresql+psycopg://riskmon:$(cat secrets/store_password)@postgres:5432/riskmon" > secrets/store_url
    chmod 0644 secrets/store_url
    echo "made deploy/secrets/store_url"
fi
if [ ! -s secrets/store_key ]; then
    head -c 32 /dev/urandom | base64 > secrets/store_key
    chmod 0644 secrets/store_key
    echo "made deploy/secrets/store_key"
fi
# Only you have these: where Alertmanager delivers to.
for name in slack-url pagerduty-routing-key webhook-token; do
    if [ ! -e "secrets/$name" ]; then
        : > "secrets/$name"
        chmod 0644 "secrets/$name"
        echo "made deploy/secrets/$name, empty: write it yourself, or let no route of alertmanager.yaml lead there"
    fi
done
