package vrrp

import "time"

const (
	claimRetryFirst = 10 * time.Millisecond
	claimRetryMost  = 5 * time.Second
)

// claim is the state of the addresses that the election has decided on, and
// what still has to be done for it. A failure never changes the election.
type claim struct {
	present  bool
	handover Handover
	done     bool // Addresses.Set has succeeded for this
	held     bool // it has succeeded since we became master
	retryAt  time.Time
	backoff  time.Duration

	// Adverts are withheld until we hold the addresses, so that an old master
	// does not let go of them for one that cannot have them; but only until
	// this time, since it may be one address of many that fails.
	withholdUntil time.Time
}

// want changes what is decided.
func (c *claim) want(present bool, h Handover) {
	held := c.held && present
	until := c.withholdUntil
	*c = claim{present: present, handover: h, held: held, withholdUntil: until}
}

// withholds says whether an advert must wait for the addresses.
func (c *claim) withholds(now time.Time) bool {
	return c.present && !c.held && now.Before(c.withholdUntil)
}

// result records what Addresses.Set answered.
func (c *claim) result(now time.Time, err error) {
	if err == nil {
		c.done, c.held = true, c.present
		c.retryAt, c.backoff = time.Time{}, 0
		return
	}
	c.backoff = min(max(2*c.backoff, claimRetryFirst), claimRetryMost)
	c.retryAt = now.Add(c.backoff)
}
