package conf

import _ "embed"

// Reference is conf/reference.toml: every key, with its meaning, default, unit
// and range. It is itself a valid configuration.
//
//go:embed reference.toml
var Reference []byte
