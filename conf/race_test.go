//go:build race

package conf_test

import "time"

// budget is what a file of 50,000 lines may take; the race detector costs
// about ten times.
const budget = 10 * time.Second
