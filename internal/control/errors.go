package control

// Error is a request that was not done: what is wrong and what to do about it.
// It is the body of every answer that is not a success.
type Error struct {
	Status  int    `json:"-"` // the HTTP status that goes with it, 0 when there was no answer
	Message string `json:"error"`
	Remedy  string `json:"remedy"`
	cause   error
}

// Error renders "message (remedy)".
func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Message
	}
	return e.Message + " (" + e.Remedy + ")"
}

// Unwrap returns the system's error behind a connection that failed.
func (e *Error) Unwrap() error { return e.cause }
