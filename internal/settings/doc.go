// Package settings makes what concerns the kernel's IPVS as a whole agree with
// a configuration: the parameters below /proc/sys/net/ipv4/vs, the time-outs of
// connections, and the daemons that synchronise connections. The director does
// it, `baton plan` foretells it, and both from the same Plan.
package settings
