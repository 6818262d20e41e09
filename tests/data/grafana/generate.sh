#!/usr/bin/env bash
# Makes the JSON schemas of this folder anew from Grafana's own types; needs npm and a network.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/types.ts" "$work/"
cd "$work"
echo '{"compilerOptions": {"moduleResolution": "node", "skipLibCheck": true, "target": "es2022"}, "files": ["types.ts"]}' > tsconfig.json
npm install --silent --ignore-scripts --no-audit --no-fund \
    @grafana/schema@12.4.3 typescript@5.9.3 ts-json-schema-generator@2.4.0
for type in $(sed -n 's/^export type \(\w*\) .*/\1/p' types.ts); do
    npx ts-json-schema-generator --path types.ts --tsconfig tsconfig.json --no-type-check --type "$type" \
        --out "$here/$type.schema.json"
done
