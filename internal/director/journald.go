package director

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"baton/internal/event"
)

// journaldSocket is where systemd-journald takes entries in its native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL).
const journaldSocket = "/run/systemd/journal/socket"

// maxJournalField bounds a field, so that an entry fits into one datagram: an
// event has ten fields at most, and a datagram some 200 KiB.
const maxJournalField = 8 << 10

// startedByJournald says whether what is written to f ends in the journal
// (systemd.exec(5), $JOURNAL_STREAM): then entries with fields say more than lines.
func startedByJournald(f *os.File, stream string) bool {
	var st unix.Stat_t
	if stream == "" || unix.Fstat(int(f.Fd()), &st) != nil {
		return false
	}
	return stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// journald writes entries, one with each Write, and what it is not rid of as a
// line to the fallback. It has no connection that a restart of journald could end.
// The journal package of go-systemd knows one socket only, which no test can be.
type journald struct {
	conn     *net.UnixConn
	to       *net.UnixAddr
	fallback io.Writer
}

func newJournald(socket string, fallback io.Writer) (*journald, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("open socket for the journal: %w", err)
	}
	return &journald{conn: conn, to: &net.UnixAddr{Name: socket, Net: "unixgram"}, fallback: fallback}, nil
}

func (j *journald) Write(entry []byte) (int, error) {
	if _, _, err := j.conn.WriteMsgUnix(entry, nil, j.to); err == nil {
		return len(entry), nil
	}
	message, _, _ := strings.Cut(string(entry), "\n")
	_, err := fmt.Fprintln(j.fallback, strings.TrimPrefix(message, "MESSAGE="))
	return len(entry), err
}

// priorities are those of syslog(3).
var priorities = map[event.Level]int{event.LevelDebug: 7, event.LevelInfo: 6, event.LevelWarn: 4, event.LevelError: 3}

// journalEntry renders an event: MESSAGE first, a line for a person, then the
// event's name and fields under their own names in capitals.
func journalEntry(e event.Event) []byte {
	message := string(e.Name)
	for _, f := range e.Fields {
		value := f.Value
		if strings.ContainsAny(value, " \"=\n") {
			value = fmt.Sprintf("%q", value)
		}
		message += " " + string(f.Key) + "=" + value
	}
	b := journalField(nil, "MESSAGE", message)
	b = journalField(b, "PRIORITY", fmt.Sprint(priorities[e.Level]))
	b = journalField(b, "SYSLOG_IDENTIFIER", "baton")
	b = journalField(b, "MESSAGE_ID", messageID(e.Name))
	b = journalField(b, "EVENT", string(e.Name))
	b = journalField(b, "SOURCE", e.Source)
	for _, f := range e.Fields {
		b = journalField(b, journalName(f.Key), f.Value)
	}
	return b
}

// journalName is an event's field in the journal. PRIORITY is how grave an entry
// is; a second one of VRRP's would hide it from journalctl -p.
func journalName(k event.Key) string {
	if k == event.Priority {
		return "VRRP_PRIORITY"
	}
	return strings.ToUpper(string(k))
}

// journalField appends a field; one of several lines has its length before it.
func journalField(b []byte, name, value string) []byte {
	if len(value) > maxJournalField {
		value = strings.ToValidUTF8(value[:maxJournalField], "") + "…"
	}
	b = append(b, name...)
	if strings.Contains(value, "\n") {
		b = append(b, '\n')
		b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	} else {
		b = append(b, '=')
	}
	return append(append(b, value...), '\n')
}

// messageID is the 128-bit id of an event, the same in every version: the
// beginning of the SHA-256 of "baton event NAME".
func messageID(n event.Name) string {
	sum := sha256.Sum256([]byte("baton event " + string(n)))
	return hex.EncodeToString(sum[:16])
}
