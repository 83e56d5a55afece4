package healthcheck

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// maxPEM bounds a file of certificates or of a key, in bytes.
const maxPEM = 4 << 20

// fileError is what is wrong with a file of a TLSSpec.
type fileError struct {
	field, remedy string // ".CAFile"
	unreadable    bool   // it may be there later
	err           error
}

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// changed reports whether a file is another than before. Size and time alone
// do not tell two files apart that were written within a tick of the clock.
func changed(before, now os.FileInfo) bool {
	if before == nil || now == nil {
		return before != now
	}
	return !os.SameFile(before, now) || before.Size() != now.Size() || !before.ModTime().Equal(now.ModTime())
}

// parsed keeps what files hold, for all checks that name them: ten thousand
// may share an authority.
type parsed[T any] struct {
	mu    sync.Mutex
	files map[string]parsedFile[T]
}

type parsedFile[T any] struct {
	found [2]os.FileInfo
	value T
}

// maxParsed bounds what is kept; beyond, all is read anew.
const maxParsed = 1024

var (
	pools parsed[*x509.CertPool]
	pairs parsed[[]tls.Certificate]
)

// get returns what the file, or the two, hold, and parses them when they have changed.
func (p *parsed[T]) get(first, second string, parse func() (T, error)) (T, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var now [2]os.FileInfo
	for i, path := range []string{first, second} {
		if path == "" {
			continue
		}
		fi, err := os.Stat(path)
		if err != nil {
			return parse() // which names the file and the remedy
		}
		now[i] = fi
	}
	key := first + "\x00" + second
	if f, ok := p.files[key]; ok && !changed(f.found[0], now[0]) && !changed(f.found[1], now[1]) {
		return f.value, nil
	}
	value, err := parse()
	if err != nil {
		return value, err
	}
	if p.files == nil || len(p.files) >= maxParsed {
		p.files = map[string]parsedFile[T]{}
	}
	p.files[key] = parsedFile[T]{now, value}
	return value, nil
}

// authorities returns the certificates of a file.
func authorities(path string) (*x509.CertPool, error) {
	return pools.get(path, "", func() (*x509.CertPool, error) {
		raw, err := readPEM(".CAFile", path)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(raw) {
			return nil, &fileError{".CAFile", "name a PEM file with certificates", false, fmt.Errorf("%s has no certificate", path)}
		}
		return pool, nil
	})
}

// identity returns a client's certificate with its key.
func identity(cert, key string) ([]tls.Certificate, error) {
	return pairs.get(cert, key, func() ([]tls.Certificate, error) {
		chain, err := readPEM(".CertFile", cert)
		if err != nil {
			return nil, err
		}
		secret, err := readPEM(".KeyFile", key)
		if err != nil {
			return nil, err
		}
		if block, _ := pem.Decode(secret); block != nil && (block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "") {
			return nil, &fileError{".KeyFile", "store it without one, readable for the user that checks run as alone", false, fmt.Errorf("%s has a password", key)}
		}
		pair, err := tls.X509KeyPair(chain, secret)
		if err != nil {
			return nil, &fileError{".CertFile", "name the PEM files of a certificate and of its key", false, fmt.Errorf("%s and %s do not go together: %w", cert, key, err)}
		}
		return []tls.Certificate{pair}, nil
	})
}

func readPEM(field, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &fileError{field, "make it readable for the user that checks run as", true, err}
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	switch {
	case err != nil:
		return nil, &fileError{field, "name a file", true, err}
	case len(raw) > maxPEM:
		return nil, &fileError{field, "name a smaller one", false, errors.New(path + " has more than 4 MiB")}
	}
	return raw, nil
}
