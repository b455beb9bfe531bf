package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

const (
	// connections is how many of them are kept open to a store: requests of 64
	// readers at once, and then some, need no new ones.
	connections = 128

	// redirects is how many of them are followed, one after another.
	redirects = 5

	// credentialsTime bounds the search for credentials: a machine that is none of
	// Amazon's waits for the metadata service that it does not have.
	credentialsTime = 15 * time.Second
)

// openS3 opens a bucket of S3, or of a store that speaks as S3 does.
func openS3(ctx context.Context, u *url.URL) (*store, string, error) {
	q := u.Query()
	if err := s3Defaults(q); err != nil {
		return nil, "", err
	}
	encryption, key := q.Get("ssetype"), q.Get("kmskeyid")
	opener := new(s3blob.URLOpener)
	opened, err := opener.OpenBucketURL(ctx, &url.URL{Scheme: "s3", Host: u.Host, RawQuery: q.Encode()})
	if err != nil {
		var text = err.Error()
		if _, after, found := strings.Cut(text, u.Host+"?"+q.Encode()+": "); found {
			text = after // without the URL
		}
		return nil, "", errors.New(text)
	}
	var client *s3.Client
	if !opened.As(&client) {
		return nil, "", errors.New("gocloud.dev does not give its client of S3")
	}
	settings := client.Options()
	if err := opened.Close(); err != nil {
		return nil, "", err
	}
	if settings.Region == "" {
		return nil, "set AWS_REGION, or region=… in the URL, or endpoint=… for a store that is not Amazon's", errors.New("the bucket's region is not known")
	}
	if hint, err := findCredentials(ctx, settings.Credentials); err != nil {
		return nil, hint, err
	}
	var idle func()
	client = s3.New(settings, func(o *s3.Options) {
		o.Retryer = aws.NopRetryer{} // attempts are counted in this package only
		o.Logger = logging.Nop{}
		o.HTTPClient, idle = pooled(o.HTTPClient)
	})
	b, err := s3blob.OpenBucket(ctx, client, u.Host, nil)
	if err != nil {
		return nil, "", err
	}
	up := &s3Upload{client: client, bucket: u.Host, encryption: types.ServerSideEncryption(encryption), key: key,
		md5: settings.RequestChecksumCalculation == aws.RequestChecksumCalculationWhenRequired}
	return &store{bucket: b, ask: askS3, answer: answerS3, start: startS3, list: listS3, listed: listedS3, reply: replyS3, put: up.put, stat: up.stat, remove: up.remove, idle: idle}, "", nil
}

// pooled is the SDK's HTTP client, which knows of certificates and proxies, with
// more connections, and what closes those.
func pooled(sdk s3.HTTPClient) (s3.HTTPClient, func()) {
	buildable, ok := sdk.(*awshttp.BuildableClient)
	if !ok {
		return sdk, nil
	}
	transport := buildable.GetTransport()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost, transport.MaxConnsPerHost = 0, connections, 0
	transport.DisableCompression = true // lengths are those of the objects
	// HTTP/2 has one connection for all: as fast as one is, and one that is dead stays
	// every attempt's.
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true)
	if transport.TLSClientConfig != nil {
		transport.TLSClientConfig.NextProtos = nil // it offers HTTP/2 as it comes
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, before []*http.Request) error {
		status := r.Response.StatusCode
		if (status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect) && len(before) < redirects {
			return nil // a young bucket's, for some minutes
		}
		return http.ErrUseLastResponse
	}}
	return client, client.CloseIdleConnections
}

// s3Defaults sets what stores that are not Amazon's want, where nothing is said.
func s3Defaults(q url.Values) error {
	endpoint := q.Get("endpoint")
	if endpoint != "" && !strings.HasPrefix(endpoint, "http://") && !strings.HasPrefix(endpoint, "https://") {
		return fmt.Errorf("the endpoint %q does not begin with http:// or https://", endpoint)
	}
	if endpoint == "" && os.Getenv("AWS_ENDPOINT_URL_S3") == "" && os.Getenv("AWS_ENDPOINT_URL") == "" {
		return nil
	}
	set := func(key, value string, unless ...string) {
		for _, variable := range unless {
			if os.Getenv(variable) != "" {
				return
			}
		}
		if !q.Has(key) {
			q.Set(key, value)
		}
	}
	if !q.Has("s3ForcePathStyle") {
		set("use_path_style", "true")
	}
	set("region", "us-east-1", "AWS_REGION", "AWS_DEFAULT_REGION")
	set("request_checksum_calculation", "when_required", "AWS_REQUEST_CHECKSUM_CALCULATION")
	set("response_checksum_validation", "when_required", "AWS_RESPONSE_CHECKSUM_VALIDATION")
	return nil
}

// findCredentials looks for credentials, so that none at all is found out at
// once and by that name.
func findCredentials(ctx context.Context, provider aws.CredentialsProvider) (hint string, err error) {
	if provider == nil || aws.IsCredentialsProvider(provider, (*aws.AnonymousCredentials)(nil)) {
		return "", nil
	}
	limited, cancel := context.WithTimeout(ctx, credentialsTime)
	defer cancel()
	if _, err := provider.Retrieve(limited); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where the machine has a role; anonymous=true in the URL reads a public bucket",
			fmt.Errorf("no credentials found: %w", err)
	}
	return "", nil
}

// askS3 implements store.ask. Keys are as they are: gocloud.dev writes some of their
// characters in a way of its own.
func askS3(key, version string, whole bool) func(func(any) bool) error {
	return func(as func(any) bool) error {
		var in *s3.GetObjectInput
		if !as(&in) {
			return errNotGiven
		}
		in.Key = &key
		if version != "" {
			in.IfMatch = aws.String(`"` + version + `"`)
			if strings.HasPrefix(version, "W/") {
				in.IfMatch = nil // a weak one matches nothing; the answer's is compared
			}
		}
		if whole {
			// The answer then says the object's length besides the body's: one that was cut
			// on the way together with its length is found out.
			in.Range = aws.String("bytes=0-")
		}
		return nil
	}
}

// errNotGiven says that gocloud.dev is not the one that this package was made for.
var errNotGiven = errors.New("gocloud.dev does not give its request to S3")

// answerS3 implements store.answer.
func answerS3(r *blob.Reader) (string, int64) {
	var out s3.GetObjectOutput
	if !r.As(&out) {
		return "", r.Size()
	}
	return unquoted(aws.ToString(out.ETag)), r.Size()
}

// startS3 implements store.start.
func startS3(r *blob.Reader) (start int64) {
	var out s3.GetObjectOutput
	if r.As(&out) {
		_, _ = fmt.Sscanf(aws.ToString(out.ContentRange), "bytes %d-", &start) // 0 without
	}
	return start
}

// listS3 implements store.list.
func listS3(prefix string) func(func(any) bool) error {
	return func(as func(any) bool) error {
		var in *s3.ListObjectsV2Input
		if !as(&in) {
			return errNotGiven
		}
		in.Prefix = &prefix
		return nil
	}
}

// listedS3 implements store.listed.
func listedS3(o *blob.ListObject) (key, version string) {
	var object types.Object
	var folder types.CommonPrefix
	switch {
	case o.As(&object):
		return aws.ToString(object.Key), unquoted(aws.ToString(object.ETag))
	case o.As(&folder):
		return aws.ToString(folder.Prefix), ""
	}
	return o.Key, ""
}

// replyS3 implements store.reply.
func replyS3(err error) reply {
	var r reply
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil {
		r.status = answer.HTTPStatusCode()
		r.region = answer.Response.Header.Get("X-Amz-Bucket-Region")
	}
	var aerr smithy.APIError
	if errors.As(err, &aerr) {
		r.code, r.message = aerr.ErrorCode(), aerr.ErrorMessage()
		if _, err := strconv.Atoi(r.code); err == nil { // of an answer without a body
			r.code = ""
		}
	}
	var service *awshttp.ResponseError
	if errors.As(err, &service) {
		r.request = service.ServiceRequestID()
	}
	return r
}
