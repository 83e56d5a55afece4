//go:build !race

package conf_test

import "time"

// budget is what a file of 50,000 lines may take.
const budget = time.Second
