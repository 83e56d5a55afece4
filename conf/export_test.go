package conf

// WithoutFiles is for tests that hold a spec against healthcheck.Validate.
var WithoutFiles = withoutFiles
