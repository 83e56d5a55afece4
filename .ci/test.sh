#!/usr/bin/env bash
# test.sh: what `make test` does.
#
# A test that fails while the machine stands still (package integration/vm/still) is
# run once more when all others have ended, if nothing else is wrong: a virtual machine
# that its host does not let run for a second has lost the adverts and the answers of
# that second. The table has both runs; the second one counts.
set -uo pipefail
cd "$(dirname "$0")/.."
go=$(.ci/go.sh) && .ci/go.sh cc || exit
export PATH="$(dirname "$go"):$PATH" GOTOOLCHAIN=local
results=.cache/results.json
# The end-to-end tests that follow the kernel tests, so that both lanes are about as
# long; all others are the first lane.
second_lane='^Test(Modes|KeepalivedAsPeer|ConnectionsSurvive|NetworkAndTime)$'
# The end-to-end tests boot a machine of their own.
units=$(go list ./... | grep -v '/integration$') || exit
mkdir -p bin .cache && rm -f "$results" && go build -o bin/testsum ./internal/testsum || exit

# outcome TESTS SUM: 0 all passed, 1 tests failed and testsum knows which, 2 anything else.
outcome() {
	(($1 == $2 && $1 <= 1)) || return 2
	return "$1"
}

# counted STAGE COMMAND…: runs what prints go test's events.
counted() {
	local status
	"${@:2}" | bin/testsum -v="$([ "$1" = unit ] && echo false || echo true)" -stage "$1" -into "$results"
	status=("${PIPESTATUS[@]}")
	outcome "${status[@]}"
}

unit() { go test -race -vet=off -timeout 5m -json $units; }
kernel() { bin/vmrun -json -test "$@"; }
end_to_end() { go test -count=1 -vet=off -timeout 25m -json "$@" ./integration; }

worst=0
# worse STATUS: keeps the worst.
worse() { worst=$(($1 > worst ? $1 : worst)); }

echo "== unit tests"
counted unit unit || worse $?
echo "== kernel and end-to-end tests, in two lanes: a virtual machine leaves a processor idle"
(
	counted kernel kernel ./... || worse $?
	counted end-to-end end_to_end -run "$second_lane" || worse $?
	exit $worst
) &
second=$!
counted end-to-end end_to_end -skip "$second_lane" || worse $?
wait $second || worse $?

again=
if ((worst == 1)); then again=$(bin/testsum -again "$results") || worst=2; fi
if [ -n "$again" ]; then
	echo "== once more, alone: the machine stood still while they failed"
	worst=0
	while read -r -u 3 stage pattern packages; do
		case $stage in
		kernel) counted "$stage, again" kernel -run "$pattern" $packages || worse $? ;;
		end-to-end) counted "$stage, again" end_to_end -run "$pattern" || worse $? ;;
		*) worse 2 ;;
		esac
	done 3<<<"$again"
fi

echo
bin/testsum -table "$results" || worse 2
((worst == 0)) || { echo "make test: failed" && exit 1; }
