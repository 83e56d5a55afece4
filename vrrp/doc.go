// Package vrrp elects, among the directors that share a virtual router, the
// one that holds its addresses: the Virtual Router Redundancy Protocol, version
// 3 (RFC 9568) and version 2 (RFC 3768).
//
// The protocol itself is pure. Parse and AppendAdvert translate adverts,
// timing.go holds the arithmetic, and Step in step.go is the whole state
// machine, readable beside RFC 9568 section 6.4. Core executes what Step
// decides for any number of instances, on a clock and a network that it is
// given; Engine runs a Core in one goroutine on real sockets.
//
// RFC 9568 speaks of Active Routers where RFC 3768 and every log in the field
// say master; this package says master.
package vrrp
