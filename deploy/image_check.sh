#!/bin/sh
# Build the image with buildah on a bare Debian and run the program in it, without a registry and without a Docker engine.
# ROOTFS: a debootstrap tree with python3, python3-venv or none, and pip; it is copied, not changed. Without one,
# debootstrap makes one. Wheels are fetched outside, by this machine's pip, so that the build itself has no network.
set -eu
cd "$(dirname "$0")/.."
skip() { echo "skipped: $1"; exit 0; }
command -v buildah >/dev/null || skip "buildah is not installed (Debian: apt-get install buildah)"
[ "$(id -u)" = 0 ] || skip "buildah --isolation chroot is run as root here"

work=$(mktemp -d)
name=studio-exporter-check
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
b() { buildah --root "$work/storage" --runroot "$work/run" "$@"; }
# What buildah has mounted is unmounted before anything is deleted.
trap 'b umount --all >/dev/null 2>&1 || true; rm -rf --one-file-system "$work"' EXIT

mkdir "$work/rootfs" "$work/wheels"
if [ -n "${ROOTFS:-}" ]; then
  tar -C "$ROOTFS" --one-file-system --exclude=./home --exclude=./root --exclude=./tmp --exclude=./proc --exclude=./sys \
    --exclude=./dev --exclude=./var/cache --exclude=./var/lib/apt -cf - . | tar -C "$work/rootfs" -xf -
  mkdir -p -m 755 "$work/rootfs/proc" "$work/rootfs/sys" "$work/rootfs/dev" "$work/rootfs/root"
  mkdir -p -m 1777 "$work/rootfs/tmp"
elif command -v debootstrap >/dev/null; then
  debootstrap --variant=minbase --include=python3,python3-pip,python3-distutils,ca-certificates bookworm "$work/rootfs" \
    >"$work/debootstrap.log" || { tail -3 "$work/debootstrap.log"; skip "debootstrap could not make a Debian"; }
else
  skip "no Debian to build on: set ROOTFS to a debootstrap tree, or install debootstrap"
fi

python=$("$work/rootfs/usr/bin/python3" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo 3.11)
${PIP:-python3 -m pip} download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
  --python-version "$python" --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
  --platform manylinux2014_x86_64 --platform manylinux_2_5_x86_64 \
  --dest "$work/wheels" --requirement requirements-image.txt

base=$(b from scratch)
b copy --quiet "$base" "$work/rootfs" / >/dev/null
b config --env PIP_NO_INDEX=1 --env PIP_FIND_LINKS=/wheels --env PIP_DISABLE_PIP_VERSION_CHECK=1 "$base"
b commit --quiet --rm "$base" bare-python >/dev/null

b bud --quiet --network none --volume "$work/wheels:/wheels:ro" --build-arg PYTHON_IMAGE=localhost/bare-python \
  --timestamp 0 --file deploy/Dockerfile --tag "$name" . >/dev/null

inspect() { b inspect --type image --format "$1" "$name"; }
[ "$(inspect '{{.OCIv1.Config.User}}')" = 65532:65532 ] || { echo "the image runs as root" >&2; exit 1; }
[ "$(inspect '{{.OCIv1.Config.Entrypoint}}')" = '[/opt/exporter/bin/python -m exporter]' ] \
  || { echo "the entry point is not the program in exec form" >&2; exit 1; }
made=$(b from --pull-never "$name")
run() { b run --network none "$made" -- "$@"; }
at=/opt/exporter/bin/python
run $at -m exporter --help | head -1
run $at -c 'import os; assert os.getuid() == 65532; import pyarrow.parquet, boto3, awslambdaric, exporter.app'
# Nothing of the image may be written by its user, apart from the folders for it.
run $at -c '
import os
open_to_us = [r for r in ("/opt/exporter", "/etc", "/usr", "/var/lib") for r, _, _ in os.walk(r) if os.access(r, os.W_OK)]
assert not open_to_us, open_to_us'
code=0; run $at -m exporter run --config /nowhere.toml 2>/dev/null || code=$?
[ "$code" = 2 ] || { echo "a missing configuration ended with $code instead of 2" >&2; exit 1; }
echo "built on Debian, Python $python: runs as 65532, without network; exit codes are the program's"
