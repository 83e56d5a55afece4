//go:build race

package conf_test

import "time"

const (
	// budget is what a file of 50,000 lines may cost; the race detector makes
	// everything about ten times as expensive.
	budget = 10 * time.Second
	// stride is how many combinations of key and odd value are passed over.
	stride = 9
)
