//go:build gcs

package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/gcp"
	"google.golang.org/api/googleapi"
)

// openGS opens a bucket of Google Cloud Storage. An object's version is its
// generation. The URL may say anonymous=true.
func openGS(ctx context.Context, u *url.URL) (*store, string, error) {
	client := gcp.NewAnonymousHTTPClient(gcp.DefaultTransport())
	for key, values := range u.Query() {
		if key != "anonymous" || values[0] != "true" {
			return nil, "", fmt.Errorf("gs:// knows no parameter %s but anonymous=true", key)
		}
	}
	if !u.Query().Has("anonymous") {
		credentials, err := gcp.DefaultCredentials(ctx)
		if err != nil {
			return nil, "set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login; anonymous=true in the URL reads a public bucket", fmt.Errorf("no credentials found: %w", err)
		}
		if client, err = gcp.NewHTTPClient(gcp.DefaultTransport(), gcp.CredentialsTokenSource(credentials)); err != nil {
			return nil, "", err
		}
	}
	b, err := gcsblob.OpenBucket(ctx, client, u.Host, nil)
	if err != nil {
		return nil, "", err
	}
	var google *storage.Client
	if b.As(&google) {
		google.SetRetry(storage.WithPolicy(storage.RetryNever)) // attempts are counted in this package only
	}
	return &store{bucket: b, ask: askGS, answer: answerGS, stated: statedGS, listed: listedGS, reply: replyGS}, "", nil
}

func askGS(_, version string, _ bool) func(func(any) bool) error {
	return func(as func(any) bool) error {
		generation, err := strconv.ParseInt(version, 10, 64)
		if err != nil { // any, or one that no object has: the answer's is compared
			generation = 0
		}
		if generation == 0 {
			return nil
		}
		var object **storage.ObjectHandle
		if !as(&object) {
			return errors.New("gocloud.dev does not give its request to Cloud Storage")
		}
		*object = (*object).If(storage.Conditions{GenerationMatch: generation})
		return nil
	}
}

func answerGS(r *blob.Reader) (string, int64) {
	var google *storage.Reader
	if !r.As(&google) {
		return "", r.Size()
	}
	return strconv.FormatInt(google.Attrs.Generation, 10), r.Size()
}

func statedGS(a *blob.Attributes) string {
	var google storage.ObjectAttrs
	if !a.As(&google) {
		return ""
	}
	return strconv.FormatInt(google.Generation, 10)
}

func listedGS(o *blob.ListObject) (key, version string) {
	var google storage.ObjectAttrs
	if !o.As(&google) {
		return o.Key, ""
	}
	return o.Key, strconv.FormatInt(google.Generation, 10)
}

func replyGS(err error) reply {
	var google *googleapi.Error
	switch {
	case errors.As(err, &google):
		r := reply{status: google.Code, message: google.Message}
		if len(google.Errors) > 0 {
			r.code = google.Errors[0].Reason
		}
		return r
	case errors.Is(err, storage.ErrBucketNotExist):
		return reply{status: http.StatusNotFound, code: "NoSuchBucket"}
	case errors.Is(err, storage.ErrObjectNotExist):
		return reply{status: http.StatusNotFound}
	}
	return reply{}
}
