// Package s3server is a store for tests that speaks as S3 does, on this machine's
// loopback, and fails as stores and networks do. It is apart from package
// buckettest because it carries a whole server.
//
// It holds everything in memory and takes every credential, or none. Faults come
// from outside: a Plan says for each request what happens to it.
package s3server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Bucket is the name of the one bucket that there is.
const Bucket = "bucket"

// Server is a running store.
type Server struct {
	Faults *Faults

	server      *httptest.Server
	backend     *s3mem.Backend
	connections atomic.Int64
}

// New starts a store. Close ends it.
func New() (*Server, error) {
	backend := s3mem.New()
	if err := backend.CreateBucket(Bucket); err != nil {
		return nil, err
	}
	fake := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog()), gofakes3.WithTimeSkewLimit(0)).Server()
	s := &Server{backend: backend}
	s.Faults = &Faults{Inner: &conditions{backend: backend, inner: fake}}
	s.server = httptest.NewUnstartedServer(s.Faults)
	s.server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	s.server.Start()
	return s, nil
}

// Close ends the server and the connections to it.
func (s *Server) Close() {
	s.server.CloseClientConnections()
	s.server.Close()
}

// Endpoint returns the server's address, "http://127.0.0.1:port".
func (s *Server) Endpoint() string { return s.server.URL }

// URL returns the address of a folder, with all that is needed to open it.
func (s *Server) URL(prefix string) string {
	return fmt.Sprintf("s3://%s/%s?anonymous=true&endpoint=%s", Bucket, prefix, url.QueryEscape(s.Endpoint()))
}

// Connections returns how many of them clients have made.
func (s *Server) Connections() int { return int(s.connections.Load()) }

// Store puts an object under a whole key, past all faults.
func (s *Server) Store(key string, data []byte) error {
	_, err := s.backend.PutObject(Bucket, key, nil, bytes.NewReader(data), int64(len(data)), nil)
	return err
}

// Object returns what lies under a whole key, and whether something does.
func (s *Server) Object(key string) ([]byte, bool) {
	object, err := s.backend.GetObject(Bucket, key, nil)
	if err != nil {
		return nil, false
	}
	defer object.Contents.Close() //nolint:errcheck // memory
	b, err := io.ReadAll(object.Contents)
	return b, err == nil
}

// conditions adds what the fake store does not know of S3: If-Match of reads, and
// If-None-Match where the parts of an upload are put together.
type conditions struct {
	backend *s3mem.Backend
	inner   http.Handler
	mu      sync.Mutex // held over a test and what depends on it
}

// ServeHTTP implements http.Handler.
func (c *conditions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case r.Method == http.MethodGet && r.Header.Get("If-Match") != "":
		if object, err := c.backend.HeadObject(Bucket, key); err == nil && gofakes3.FormatETag(object.Hash) != r.Header.Get("If-Match") {
			failure(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
	case r.Method == http.MethodPut || r.Method == http.MethodPost:
		body, err := io.ReadAll(r.Body) // outside of the lock
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		c.mu.Lock()
		defer c.mu.Unlock()
		if r.Method == http.MethodPost && r.Header.Get("If-None-Match") == "*" {
			if _, err := c.backend.HeadObject(Bucket, key); err == nil {
				failure(w, http.StatusPreconditionFailed, "PreconditionFailed")
				return
			}
		}
	}
	c.inner.ServeHTTP(w, r)
}

// failure answers with an error as S3 writes it.
func failure(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>injected</Message></Error>`, code)
}
