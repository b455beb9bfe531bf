package s3server

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"
)

// Fault is what happens to a request.
type Fault int

// The faults.
const (
	None       Fault = iota
	Busy             // 503 SlowDown, and nothing is done
	Internal         // 500 InternalError, and nothing is done
	Refused          // the connection ends before an answer, and nothing is done
	LostAnswer       // it is done, and the connection ends before the answer
	CutBody          // the connection ends in the middle of the answer's body
	ShortBody        // half the answer's body, and a length that fits that half
	Garbled          // a byte of the request's body is changed on its way
	Stalled          // half the answer's body, then nothing until the client goes
	Forbidden        // 403 AccessDenied
	Conflict         // 409 ConditionalRequestConflict
	faults
)

// String returns the fault's name.
func (f Fault) String() string {
	names := [...]string{"none", "busy", "internal", "refused", "lost answer", "cut body", "short body", "garbled", "stalled", "forbidden", "conflict"}
	if f < 0 || f >= faults {
		return fmt.Sprintf("Fault(%d)", int(f))
	}
	return names[f]
}

// Faults lets requests to a handler fail. Latency and Plan may be set between
// requests, with Set.
type Faults struct {
	Inner http.Handler

	mu      sync.Mutex
	plan    Plan
	latency time.Duration
	seen    int
}

// Plan says what happens to the n-th request since it was set, from 0.
type Plan func(n int, r *http.Request) Fault

// Set sets a plan, nil for none, and how long each request waits.
func (f *Faults) Set(plan Plan, latency time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan, f.latency, f.seen = plan, latency, 0
}

// Seen returns the number of requests since the last Set.
func (f *Faults) Seen() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// Seeded is a plan of which a share of the requests fails, each in one of some
// ways: which requests, the seed decides. After inRow failures of requests for the
// same thing one of them passes, so that a test does not hang on chance.
func Seeded(seed uint64, share float64, inRow int, some ...Fault) Plan {
	var mu sync.Mutex
	failed := map[string]int{}
	return func(n int, r *http.Request) Fault {
		draw := rand.New(rand.NewPCG(seed, uint64(n)))
		mu.Lock()
		defer mu.Unlock()
		what := r.Method + " " + r.URL.Path + "?" + r.URL.RawQuery
		if draw.Float64() >= share || failed[what] >= inRow {
			failed[what] = 0
			return None
		}
		failed[what]++
		return some[draw.IntN(len(some))]
	}
}

// ServeHTTP implements http.Handler.
func (f *Faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	fault, latency := None, f.latency
	if f.plan != nil {
		fault = f.plan(f.seen, r)
	}
	f.seen++
	f.mu.Unlock()
	if latency > 0 {
		time.Sleep(latency)
	}
	switch fault {
	case None:
		f.Inner.ServeHTTP(w, r)
	case Busy:
		failure(w, http.StatusServiceUnavailable, "SlowDown")
	case Internal:
		failure(w, http.StatusInternalServerError, "InternalError")
	case Forbidden:
		failure(w, http.StatusForbidden, "AccessDenied")
	case Conflict:
		failure(w, http.StatusConflict, "ConditionalRequestConflict")
	case Refused:
		panic(http.ErrAbortHandler)
	case LostAnswer:
		f.Inner.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case Garbled:
		if r.Method == http.MethodPut { // others have a signature to protect them, which the fake does not look at
			garble(r)
		}
		f.Inner.ServeHTTP(w, r)
	default:
		f.half(w, r, fault)
	}
}

// garble changes a byte of a request's body.
func garble(r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || len(body) == 0 {
		return
	}
	body[len(body)/2] ^= 1
	r.Body = io.NopCloser(bytes.NewReader(body))
}

// half answers with half a body.
func (f *Faults) half(w http.ResponseWriter, r *http.Request, fault Fault) {
	recorder := httptest.NewRecorder()
	f.Inner.ServeHTTP(recorder, r)
	body := recorder.Body.Bytes()
	for key, values := range recorder.Header() {
		w.Header()[key] = values
	}
	some := body[:len(body)/2]
	if len(body) > 0 {
		length := len(body)
		if fault == ShortBody {
			length = len(some)
		}
		w.Header().Set("Content-Length", strconv.Itoa(length))
	}
	w.WriteHeader(recorder.Code)
	if _, err := w.Write(some); err != nil {
		return
	}
	if fault == ShortBody {
		return
	}
	_ = http.NewResponseController(w).Flush() // a recorder of a test's cannot
	if fault == Stalled {
		<-r.Context().Done()
	}
	panic(http.ErrAbortHandler)
}
