#!/usr/bin/env bash
# Puts the programs of a release into RUNNER_TEMP/upgrademock and onto the path of the steps that follow.
#
# VERSION is a release such as v1.2.3, latest, or source for what lies beside this file, which needs Go. RELEASES is
# where releases are, if not at GitHub.
set -euo pipefail
shopt -s inherit_errexit 2>/dev/null || true # bash 3, on macOS, has none

fail() {
  echo "::error title=upgrademock::$1"
  exit 1
}

VERSION=${VERSION:-latest}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
into=$RUNNER_TEMP/upgrademock
mkdir -p "$into"

download() {
  local system cpu kind=tar.gz
  case "${RUNNER_OS:-}" in
    Linux) system=linux ;;
    macOS) system=darwin ;;
    Windows) system=windows kind=zip ;;
    *) fail "there is no release for the system '${RUNNER_OS:-}': set version to source" ;;
  esac
  case "${RUNNER_ARCH:-}" in
    X64) cpu=amd64 ;;
    ARM64) cpu=arm64 ;;
    *) fail "there is no release for the processor '${RUNNER_ARCH:-}': set version to source" ;;
  esac
  case "$VERSION" in
    latest) from=latest/download ;;
    v[0-9]*) from=download/$VERSION ;;
    *) fail "version is '$VERSION': wanted latest, source, or a release such as v1.2.3" ;;
  esac
  local releases=${RELEASES:-${GITHUB_SERVER_URL:-https://github.com}/upgrademock/upgrademock/releases}
  local archive=upgrademock_${system}_$cpu.$kind scratch
  scratch=$(mktemp -d)
  for file in checksums.txt "$archive"; do
    curl -fsSL --retry 3 --max-time 300 -o "$scratch/$file" "$releases/$from/$file" ||
      fail "$releases/$from/$file cannot be had; is $VERSION a release?"
  done
  local wanted found
  wanted=$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' "$scratch/checksums.txt")
  [ -n "$wanted" ] || fail "checksums.txt of $VERSION does not have $archive"
  if command -v sha256sum >/dev/null; then
    found=$(sha256sum "$scratch/$archive")
  else
    found=$(shasum -a 256 "$scratch/$archive")
  fi
  [ "${found%% *}" = "$wanted" ] || fail "$archive is not what was released: its SHA-256 is ${found%% *}, wanted $wanted"
  if [ $kind = zip ]; then
    unzip -qo "$scratch/$archive" -d "$into"
  else
    tar -xzf "$scratch/$archive" -C "$into"
  fi
  rm -rf "$scratch"
}

if [ "$VERSION" = source ]; then
  go build -C "$here" -o "$into/" ./cmd/upgrademock ./cmd/odoo-upgrade
else
  download
fi
version=$("$into/upgrademock" --version)
echo "installed $version"
echo "version=${version#upgrademock }" >> "$GITHUB_OUTPUT"
echo "$into" >> "$GITHUB_PATH"
