package lab

import (
	"context"
	"fmt"
	"io"
	"time"
)

// HiddenCommand is the subcommand under which a program that uses this package
// must call Hidden with the remaining arguments: real servers and load clients
// are processes of that program inside a namespace.
const HiddenCommand = "lab-process"

// Hidden runs one of the lab's own processes until ctx ends:
//
//	real-server NAME LISTEN SOCKET
//	load TARGET INTERVAL TIMEOUT INFLIGHT   (orders on in, progress on out)
//	long TARGET DOWNLOADS IDLE              (ends with in, progress on out)
func Hidden(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	switch {
	case len(args) == 4 && args[0] == "real-server":
		return ServeRealServer(ctx, args[1], args[2], args[3])
	case len(args) == 5 && args[0] == "load":
		o := LoadOptions{Target: args[1]}
		var err1, err2 error
		o.Interval, err1 = time.ParseDuration(args[2])
		o.Timeout, err2 = time.ParseDuration(args[3])
		_, err3 := fmt.Sscan(args[4], &o.InFlight)
		for _, err := range []error{err1, err2, err3} {
			if err != nil {
				return fmt.Errorf("read load arguments: %w", err)
			}
		}
		return serveLoad(ctx, o, in, out)
	case len(args) == 4 && args[0] == "long":
		o := LongOptions{Target: args[1]}
		if _, err := fmt.Sscan(args[2]+" "+args[3], &o.Downloads, &o.Idle); err != nil {
			return fmt.Errorf("read arguments of long connections: %w", err)
		}
		return serveLong(ctx, o, in, out)
	}
	return fmt.Errorf("run lab process %q: it is started by the lab, not by hand", args)
}
