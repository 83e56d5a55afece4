package conf

// WithoutFiles is for tests that hold a spec against healthcheck.Validate.
var WithoutFiles = withoutFiles

// ParseCarefully is Parse of a text that the decoder does not trust.
func ParseCarefully(name string, data []byte, node string) (*Config, error) {
	return parse(name, data, node, &decoder{careful: true})
}

// Again is Reload of a text, nil where all of it has to be read.
func (c *Config) Again(name string, data []byte, node string) *Config {
	return c.again(name, data, node, false)
}

// InParts is Parse of a text by parts of some bytes, nil where all of it has to
// be read at once.
func InParts(name string, data []byte, node string, size int) *Config {
	return inParts(name, data, node, false, size)
}
