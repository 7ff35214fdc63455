<?php
// async-aws: its own credential chain, which knows version 1 of the instance metadata service alone, and requests that it
// signs: a listing and an object.
require '/usr/share/php/AsyncAws/Core/autoload.php';

use AsyncAws\Core\Configuration;
use AsyncAws\Core\Credentials\ChainProvider;
use AsyncAws\Core\Request;
use AsyncAws\Core\RequestContext;
use AsyncAws\Core\Signer\SignerV4;
use AsyncAws\Core\Stream\StringStream;
use Symfony\Component\HttpClient\HttpClient;

$client = HttpClient::create();
$credentials = ChainProvider::createDefaultChain($client)->getCredentials(Configuration::create(['region' => 'eu-west-1']));
if (null === $credentials) {
    fwrite(STDERR, "async-aws found no credentials\n");
    exit(1);
}

function read($client, $credentials, string $path, array $query): string
{
    $request = new Request('GET', $path, $query, [], StringStream::create(''));
    $request->setEndpoint(getenv('STORAGE_ENDPOINT') . $path . ($query ? '?' . http_build_query($query) : ''));
    $request->setHeader('x-amz-content-sha256', hash('sha256', ''));
    (new SignerV4('s3', 'eu-west-1'))->sign($request, $credentials, new RequestContext());
    return $client->request('GET', $request->getEndpoint(), ['headers' => $request->getHeaders()])->getContent();
}

$bucket = '/' . getenv('STORAGE_BUCKET');
preg_match('#<Key>(.*?)</Key>#', read($client, $credentials, $bucket, ['list-type' => '2']), $keys);
echo 'version async-aws ', trim(shell_exec("dpkg-query -W -f '\${Version}' php-async-aws-core")), "\n";
echo 'credential ', $credentials->getAccessKeyId(), "\n";
echo 'listing ', $keys[1], "\n";
echo 'object ', read($client, $credentials, "$bucket/greeting.txt", []), "\n";
