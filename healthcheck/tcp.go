package healthcheck

// newTCP returns the checker of kind tcp: the server accepts a connection.
func newTCP(b *builder) Checker { return b.dialog(stream) }
