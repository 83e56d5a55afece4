package vrrp

import "fmt"

// DropReason says why a received packet was not an advert for an instance. The
// checks are made in the order of the constants; the first that fails names
// the reason.
type DropReason uint8

const (
	DropNone             DropReason = iota // a valid advert
	DropTooShort                           // the message is not complete (RFC 9568 section 7.1); padding after it is no fault
	DropTTL                                // TTL or hop limit is not 255, of a unicast peer less than Config.UnicastTTLMin: the packet has crossed a router
	DropDestination                        // not sent to the instance's group; of an instance with unicast peers: sent to a group
	DropNotPeer                            // unicast from an address that is not among Config.Peers
	DropVersion                            // not the version that the instance speaks; over IPv6 there is version 3 only
	DropType                               // not an advertisement
	DropChecksum                           // right in neither form, see ChecksumMode
	DropVRID                               // no instance on this interface has this VRID
	DropAuthType                           // v2: another authentication type than ours: none (RFC 3768), or with Config.Password a simple password (RFC 2338 section 5.3.6)
	DropAuthData                           // v2: another password than Config.Password
	DropAddressCount                       // no address at all (RFC 9568 section 5.2.5)
	DropIntervalMismatch                   // v2: not our advertisement interval (RFC 3768 section 7.1)
	DropIntervalZero                       // v3: accepting it would make every backup master (RFC 9568 erratum 8301)
	DropOwnPacket                          // from our own address: looped back, or somebody else uses it

	dropReasons = int(DropOwnPacket) + 1
)

var dropNames = [dropReasons]string{
	"", "too_short", "ttl", "destination", "not_peer", "version", "type", "checksum", "vrid",
	"auth_type", "auth_data", "address_count", "interval_mismatch", "interval_zero", "own_packet",
}

// String returns the reason as metrics and logs label it, "" for DropNone.
func (r DropReason) String() string {
	if int(r) >= dropReasons {
		return fmt.Sprintf("drop_reason_%d", uint8(r))
	}
	return dropNames[r]
}

// MarshalText writes the label.
func (r DropReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a label that MarshalText wrote.
func (r *DropReason) UnmarshalText(text []byte) error {
	for i, name := range dropNames {
		if name == string(text) {
			*r = DropReason(i)
			return nil
		}
	}
	return fmt.Errorf("read drop reason: %q is none", text)
}
