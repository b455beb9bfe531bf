package cloud

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"alexnet/records/bucket"
)

// verdict is what is made of an error of a request.
type verdict struct {
	err    error // to show
	passes bool  // may be gone the next time
	hint   string
}

// errBeyond is the error about bytes that an object does not have.
var errBeyond = fmt.Errorf("that is beyond the object's end: %w", io.ErrUnexpectedEOF)

// errNoParts is the error about an answer that begins elsewhere than it was asked to.
var errNoParts = errors.New("a part of the object was asked for, and the whole of it came")

// broken is an error in the middle of a body, which always may pass.
type broken struct{ error }

// Unwrap returns the cause.
func (b broken) Unwrap() error { return b.error }

// answerError is an answer of a store, in short, and the kind of error that it is.
type answerError struct {
	kind error // fs.ErrNotExist, ..., or nil
	text string
	err  error
}

// Error names the kind and what the store said.
func (a *answerError) Error() string {
	if a.kind == nil {
		return a.text
	}
	return a.kind.Error() + " (" + a.text + ")"
}

// Unwrap returns the kind and the cause.
func (a *answerError) Unwrap() []error {
	if a.kind == nil {
		return []error{a.err}
	}
	return []error{a.kind, a.err}
}

// judge says what an error of a request means. It is not called for a context
// that has ended.
func (f *folder) judge(op string, err error) verdict {
	var body broken
	switch {
	case errors.Is(err, errStalled):
		return verdict{err: err, passes: true, hint: "check the endpoint and the network: a firewall may drop what it does not let through"}
	case errors.As(err, &body):
		return verdict{err: err, passes: true}
	case errors.Is(err, errNoParts):
		return verdict{err: err, hint: "the store, or a proxy before it, does not know the header Range"}
	case errors.Is(err, errBeyond), errors.Is(err, bucket.ErrChanged), errors.Is(err, errSource):
		return verdict{err: err}
	}
	r := f.store.reply(err)
	if r.status == 0 && r.code == "" {
		return unanswered(err, f.reached.Load())
	}
	return f.judgeReply(op, err, r)
}

// unanswered judges a request that brought no answer, of a store that has given one before
// or not: a name that was known once may only be so for a moment not.
func unanswered(err error, reached bool) verdict {
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		record      tls.RecordHeaderError
		network     net.Error
	)
	shown := err
	if sent, ok := errors.AsType[*url.Error](err); ok { // without what the SDK says of an answer that there is not
		shown = &answerError{text: sent.Error(), err: err}
	}
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return verdict{err: shown, passes: reached, hint: "no machine has that name: check the endpoint, the region, and whether the store wants use_path_style=true"}
	case errors.As(err, &certificate), errors.As(err, &authority):
		return verdict{err: shown, hint: "the store's certificate is not trusted here: AWS_CA_BUNDLE or SSL_CERT_FILE names one that is"}
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return verdict{err: shown, hint: "the endpoint does not speak TLS: should it begin with http://?"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return verdict{err: shown, passes: true, hint: "nothing listens at that endpoint"}
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed),
		errors.Is(err, context.DeadlineExceeded):
		return verdict{err: shown, passes: true}
	}
	return verdict{err: shown, passes: transport(err)}
}

// passing are the codes of answers that do not mean what their status says.
var passingTable = map[string]bool{
	"SlowDown": true, "RequestTimeout": true, "InternalError": true, "ServiceUnavailable": true,
	"Throttling": true, "ThrottlingException": true, "RequestLimitExceeded": true, "TooManyRequests": true,
	"OperationAborted": true, "ConditionalRequestConflict": true,
	// What arrived is not what was sent.
	"BadDigest": true, "XAmzContentSHA256Mismatch": true, "XAmzContentChecksumMismatch": true, "IncompleteBody": true, "Md5Mismatch": true,
}

// judgeReply judges an answer.
func (f *folder) judgeReply(op string, err error, r reply) verdict {
	short := &answerError{text: r.text(), err: err}
	v := verdict{err: short}
	switch {
	case r.status == http.StatusRequestedRangeNotSatisfiable:
		return verdict{err: errBeyond}
	case r.status == http.StatusNotImplemented:
		v.hint = "the store cannot do that"
		return v
	case passingTable[r.code] && r.status != http.StatusConflict, r.status >= 500,
		r.status == http.StatusTooManyRequests, r.status == http.StatusRequestTimeout,
		r.status < 300: // an answer that is no answer
		v.passes = true
		return v
	case r.status == http.StatusPreconditionFailed:
		short.kind = bucket.ErrChanged
		if op == "put" {
			short.kind = fs.ErrExist
		}
		return v
	case r.status == http.StatusConflict:
		// Two are putting it at once. The next attempt finds the other's, or succeeds
		// where the other failed.
		short.kind, v.passes = fs.ErrExist, r.code != "BlobAlreadyExists"
		return v
	}
	v.hint, short.kind = f.explain(r)
	return v
}

// absentTable are the codes of answers of status 404 that speak of the object. Others speak
// of an upload, a user, a setting: who took those for its absence would begin anew.
var absentTable = map[string]bool{
	"": true, "NotFound": true, // of an answer without a body
	"NoSuchKey": true, "NoSuchVersion": true, "notFound": true, "BlobNotFound": true,
}

// explain says what to do about an answer that is final, and its kind.
func (f *folder) explain(r reply) (hint string, kind error) {
	switch r.code {
	case "NoSuchBucket", "ContainerNotFound":
		// No fs.ErrNotExist: who does without an object cannot do without the bucket.
		return fmt.Sprintf("there is no bucket %q there: make it, or check its name and the endpoint", f.bucketName), nil
	case "InvalidBucketName":
		return fmt.Sprintf("%q cannot be a bucket's name", f.bucketName), nil
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "TokenRefreshRequired", "AuthenticationFailed",
		"XAdminUserNotFound": // versitygw's
		return "the store does not take these credentials: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE", fs.ErrPermission
	case "RequestTimeTooSkewed":
		return "this machine's clock is wrong", fs.ErrPermission
	case "PermanentRedirect", "TemporaryRedirect", "MovedPermanently", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return wrongRegion(r), nil
	}
	switch r.status {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect:
		return wrongRegion(r), nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return "these credentials may not do that there; where they may not list the bucket, an object that is missing looks so too", fs.ErrPermission
	case http.StatusBadRequest:
		if r.code == "" || r.code == "BadRequest" { // of an answer without a body
			return "the store gives no reason: check the region and the credentials", nil
		}
	case http.StatusNotFound:
		if absentTable[r.code] {
			return "", fs.ErrNotExist
		}
	}
	return "", nil
}

// wrongRegion says which region to name.
func wrongRegion(r reply) string {
	region := r.region
	if region == "" {
		region = "…"
	}
	return fmt.Sprintf("the bucket is in another region: region=%s in the URL, or AWS_REGION=%s", region, region)
}

// text is an answer in short.
func (r reply) text() string {
	text := r.code
	if text == "" {
		text = http.StatusText(r.status)
	}
	if r.status != 0 {
		text = fmt.Sprintf("%d %s", r.status, text)
	}
	if r.message != "" && r.message != r.code {
		text += ": " + r.message
	}
	if r.request != "" {
		text += ", request " + r.request
	}
	return text
}

// transport says whether an error is a client's about sending a request.
func transport(err error) bool {
	var sending interface{ ConnectionError() bool }
	return errors.As(err, &sending) && sending.ConnectionError()
}
