//go:build !linux

package vrrp

import (
	"errors"
	"fmt"
	"time"
)

// Listen needs Linux.
func Listen(at Endpoint) (Conn, error) {
	return nil, fmt.Errorf("open VRRP socket on %s: %w", at.Interface, errors.ErrUnsupported)
}

func bootClock() func() time.Time { return time.Now }
