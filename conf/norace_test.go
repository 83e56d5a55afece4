//go:build !race

package conf_test

import "time"

const (
	// budget is what a file of 50,000 lines may cost: a third of it on an idle core,
	// twice as much where others use the other half of it.
	budget = 2 * time.Second
	// stride is how many combinations of key and odd value are passed over.
	stride = 1
)
