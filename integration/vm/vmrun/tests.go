package main

import (
	"context"

	"baton/integration/vm"
)

func runTests(ctx context.Context, o options, where vm.Where, packages []string) (int, error) {
	return 125, nil
}
