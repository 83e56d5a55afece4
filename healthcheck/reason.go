package healthcheck

// Reason says in one word why an attempt did not pass. The set is closed: it is
// the metric's label and the word in the log. A Reason is an error, so that
// errors.Is(err, Refused) holds for whatever a Checker returned because of it.
type Reason string

const (
	Refused     Reason = "refused"     // the port is closed
	Timeout     Reason = "timeout"     // no answer, or not all of it, in time
	Reset       Reason = "reset"       // the connection was broken off
	Unreachable Reason = "unreachable" // no way to the address
	DNS         Reason = "dns"         // the name server's answer is not the wanted one
	TLS         Reason = "tls"         // the handshake failed or the certificate is not the wanted one
	Status      Reason = "status"      // the status code is not a wanted one
	Body        Reason = "body"        // the body is not the wanted one
	Protocol    Reason = "protocol"    // the answer is malformed, cut short or too long
	Exit        Reason = "exit"        // the command failed
	Resources   Reason = "resources"   // this machine could not make the attempt
	Config      Reason = "config"      // the check cannot be made as specified
)

// Error returns the reason's word.
func (r Reason) Error() string { return string(r) }

// Unknown reports whether an attempt that ended so says nothing about the
// server: the fault is on this side.
func (r Reason) Unknown() bool { return r == Resources || r == Config }
