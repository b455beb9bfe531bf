//go:build azblob

package cloud

import (
	"context"
	"errors"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azure "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
)

// openAzure opens a container of Azure Blob Storage, with the account and the
// credentials of the environment: AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY,
// AZURE_STORAGE_SAS_TOKEN, or an identity.
func openAzure(ctx context.Context, u *url.URL) (*store, string, error) {
	opened := url.URL{Scheme: azureblob.Scheme, Host: u.Host, RawQuery: u.RawQuery}
	b, err := blob.DefaultURLMux().OpenBucketURL(ctx, &opened)
	if err != nil {
		return nil, "set AZURE_STORAGE_ACCOUNT, and AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN", err
	}
	return &store{
		bucket: b, ask: askAzure, answer: answerAzure, stated: statedAzure, listed: listedAzure, reply: replyAzure,
		within: func(ctx context.Context) context.Context { // attempts are counted in this package only
			return policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1})
		},
	}, "", nil
}

func askAzure(_, version string, _ bool) func(func(any) bool) error {
	return func(as func(any) bool) error {
		if version == "" {
			return nil
		}
		var options *azure.DownloadStreamOptions
		if !as(&options) {
			return errors.New("gocloud.dev does not give its request to Blob Storage")
		}
		etag := azcore.ETag(`"` + version + `"`)
		options.AccessConditions = &azure.AccessConditions{ModifiedAccessConditions: &azure.ModifiedAccessConditions{IfMatch: &etag}}
		return nil
	}
}

func answerAzure(r *blob.Reader) (string, int64) {
	var answer azure.DownloadStreamResponse
	if !r.As(&answer) || answer.ETag == nil {
		return "", r.Size()
	}
	return unquoted(string(*answer.ETag)), r.Size()
}

func statedAzure(a *blob.Attributes) string { return unquoted(a.ETag) }

func listedAzure(o *blob.ListObject) (key, version string) {
	var item container.BlobItem
	if !o.As(&item) || item.Properties == nil || item.Properties.ETag == nil {
		return o.Key, ""
	}
	return o.Key, unquoted(string(*item.Properties.ETag))
}

func replyAzure(err error) reply {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) {
		return reply{}
	}
	return reply{status: answer.StatusCode, code: answer.ErrorCode}
}
