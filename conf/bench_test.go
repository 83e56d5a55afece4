package conf_test

import (
	"testing"

	"baton/conf"
)

// BenchmarkParse reads 50,000 lines: 12,500 real servers for two nodes.
func BenchmarkParse(b *testing.B) {
	text, _ := large(50_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conf.Parse("f", text, "lvs-b"); err != nil {
			b.Fatal(err)
		}
	}
}
