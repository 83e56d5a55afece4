// Package integration tests Baton end to end on a kernel with IPVS: the lab of
// internal/lab, the real binary in network namespaces, and the real peers and
// judges of the field, keepalived, ipvsadm and a raw capture of the wire.
package integration
