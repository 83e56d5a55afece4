package netif

import "errors"

// ErrNoInterface is wrapped by errors about an interface that does not exist.
var ErrNoInterface = errors.New("no such interface")

type tagSupport uint8
type relayVariant struct{}
type record struct{}

func newRecord(string) *record { return nil }
