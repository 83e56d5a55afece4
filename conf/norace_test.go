//go:build !race

package conf_test

import "time"

const (
	// budget is what a file of 50,000 lines may cost.
	budget = time.Second
	// stride is how many combinations of key and odd value are passed over.
	stride = 1
)
