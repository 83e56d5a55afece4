// Package sim runs clusters of directors on a virtual clock and a virtual LAN,
// and checks after every event that the election did nothing that it must not.
//
// Each director is a real vrrp.Core. Everything around it is simulated: the
// network with its losses and delays, the sockets, the kernel's addresses, the
// process that dies or is not scheduled, the operator. There is no goroutine
// and no clock but the virtual one, and all chance comes from one seed: the
// same Scenario gives the same trace, byte for byte.
//
// Random makes a Scenario of a seed, Run runs it, Shrink makes one that fails
// small enough to be read.
package sim
