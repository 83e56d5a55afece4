#!/bin/sh
# go.sh prints the path of a go command that is new enough for go.mod. Where
# there is none it fetches one into the cache directory: nothing is installed.
#
#   go.sh        print the path
#   go.sh cc     see that there is a C compiler, which the race detector needs
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
cache=${cache:-$root/.cache}/baton

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

debian() { [ -r /etc/debian_version ] && command -v apt-get >/dev/null; }

# apt NAME…: installs packages without questions, after an update of the lists
# only if they are too old to name them.
apt() {
	export DEBIAN_FRONTEND=noninteractive
	say "installing $*"
	apt-get install -y -qq --no-install-recommends "$@" >/dev/null </dev/null && return
	say "updating the package lists"
	apt-get update -qq >/dev/null </dev/null
	apt-get install -y -qq --no-install-recommends "$@" >/dev/null </dev/null
}

need_cc() {
	if command -v gcc >/dev/null || command -v clang >/dev/null || command -v cc >/dev/null; then
		return
	fi
	debian || die "the race detector needs a C compiler: install gcc and the C library's headers"
	[ "$(id -u)" = 0 ] || die "the race detector needs a C compiler: sudo apt-get install -y gcc libc6-dev"
	apt gcc libc6-dev
}

# at_least HAVE WANT: compares versions of the form 1.26.3.
at_least() {
	[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

version_of() { GOTOOLCHAIN=local "$1" version 2>/dev/null | sed -n 's/^go version go\([0-9.]*\).*/\1/p'; }

platform() {
	os=$(uname -s | tr '[:upper:]' '[:lower:]')
	case $(uname -m) in
	x86_64) echo "$os-amd64" ;;
	aarch64 | arm64) echo "$os-arm64" ;;
	*) die "no Go toolchain is known for $(uname -m): install Go $want" ;;
	esac
}

# any_go prints some go command, however old.
any_go() {
	if command -v go >/dev/null; then
		command -v go
		return
	fi
	debian || die "Go is missing: install Go $want or newer"
	for g in "$cache"/bootstrap/usr/lib/go-*/bin/go; do
		[ -x "$g" ] && echo "$g" && return
	done
	fetch_debian_go
	for g in "$cache"/bootstrap/usr/lib/go-*/bin/go; do
		[ -x "$g" ] && echo "$g" && return
	done
	die "Debian's Go package has no go command"
}

debian_go_package() {
	apt-cache depends golang-go 2>/dev/null | sed -n 's/^ *Depends: \(golang-[0-9.]*-go\)$/\1/p' | head -n 1
}

# fetch_debian_go unpacks Debian's Go: it only has to fetch the right one.
fetch_debian_go() {
	tmp=$cache/bootstrap.$$
	mkdir -p "$tmp"
	trap 'rm -rf "$tmp"' EXIT
	package=$(debian_go_package)
	if [ -z "$package" ]; then
		[ "$(id -u)" = 0 ] || die "the package lists are missing: sudo apt-get update"
		say "updating the package lists"
		apt-get update -qq >/dev/null </dev/null
		package=$(debian_go_package)
	fi
	[ -n "$package" ] || die "Debian's archive has no golang-go: install Go $want"
	say "downloading Debian's $package, to fetch Go $want with"
	if ! (cd "$tmp" && apt-get download -qq -o APT::Sandbox::User=root "$package" >&2 </dev/null); then
		[ "$(id -u)" = 0 ] || die "the package lists are old: sudo apt-get update"
		apt-get update -qq >/dev/null </dev/null
		(cd "$tmp" && apt-get download -qq -o APT::Sandbox::User=root "$package" >&2 </dev/null)
	fi
	dpkg-deb -x "$tmp"/*.deb "$tmp"
	rm -f "$tmp"/*.deb
	rm -rf "$cache/bootstrap"
	mv "$tmp" "$cache/bootstrap"
	trap - EXIT
}

# fetch_toolchain GO gets Go $want as a module, as newer go commands do by
# themselves. The module has no executable bits, so it is copied.
fetch_toolchain() {
	module=golang.org/toolchain@v0.0.1-go$want.$(platform)
	say "downloading Go $want"
	tmp=$cache/go.$$
	mkdir -p "$tmp/module"
	trap 'chmod -R u+w "$tmp" && rm -rf "$tmp"' EXIT
	echo 'module setup' >"$tmp/module/go.mod"
	(cd "$tmp/module" && GOFLAGS=-mod=mod GOTOOLCHAIN=local GOMODCACHE=$tmp/mod GOPATH=$tmp/path \
		"$1" mod download -json "$module" >"$tmp/answer") ||
		die "go mod download $module: $(sed -n 's/^[[:space:]]*"Error": "\(.*\)",*$/\1/p' "$tmp/answer")"
	dir=$(sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p' "$tmp/answer")
	chmod -R u+w "$dir"
	chmod +x "$dir"/bin/* "$dir"/pkg/tool/*/*
	rm -rf "$cache/go$want"
	mv "$dir" "$cache/go$want"
	chmod -R u+w "$tmp"
	rm -rf "$tmp"
	trap - EXIT
}

if [ "${1:-}" = cc ]; then
	need_cc
	exit
fi

want=$(sed -n 's/^toolchain go//p' "$root/go.mod")
[ -n "$want" ] || want=$(sed -n 's/^go //p' "$root/go.mod")

if command -v go >/dev/null && at_least "$(version_of go)" "$want"; then
	command -v go
	exit
fi
if [ ! -x "$cache/go$want/bin/go" ]; then
	older=$(any_go)
	fetch_toolchain "$older"
	rm -rf "$cache/bootstrap"
fi
echo "$cache/go$want/bin/go"
