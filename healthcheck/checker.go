package healthcheck

import "context"

// Checker makes one attempt. It returns nil when the server is healthy and
// otherwise an error that wraps the Reason. It ends when ctx does, and is
// called by one goroutine at a time.
type Checker interface {
	Check(ctx context.Context) error
}
