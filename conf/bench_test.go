package conf_test

import (
	"bytes"
	"fmt"
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

// BenchmarkServices reads 2,500 services of 4 servers each.
func BenchmarkServices(b *testing.B) {
	text := services(2500, 4)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conf.Parse("f", text, "lvs-a"); err != nil {
			b.Fatal(err)
		}
	}
}

// services is a file of so many services and servers of each.
func services(n, servers int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "[[virtual_server]]\naddress = \"10.%d.%d.1:80\"\nlb_algo = \"wrr\"\nlb_kind = \"NAT\"\ndelay_loop = \"2s\"\ntcp_check = {}\n\n", i>>8, i&255)
		for j := range servers {
			fmt.Fprintf(&b, "[[virtual_server.real_server]]\naddress = \"172.16.%d.%d:80\"\nweight = 10\n\n", j, i&255)
		}
	}
	return b.Bytes()
}
