import com.amazonaws.auth.DefaultAWSCredentialsProviderChain;
import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.services.s3.AmazonS3;
import com.amazonaws.services.s3.AmazonS3ClientBuilder;
import com.amazonaws.util.VersionInfoUtils;

/** The AWS SDK for Java, version 1: the default credential chain, a listing and an object. */
public final class AWS {
    public static void main(String[] arguments) {
        DefaultAWSCredentialsProviderChain chain = DefaultAWSCredentialsProviderChain.getInstance();
        AmazonS3 client = AmazonS3ClientBuilder.standard().withCredentials(chain).enablePathStyleAccess()
                .withEndpointConfiguration(new EndpointConfiguration(System.getenv("STORAGE_ENDPOINT"), "eu-west-1")).build();
        String bucket = System.getenv("STORAGE_BUCKET");
        System.out.println("version aws-sdk-java " + VersionInfoUtils.getVersion());
        System.out.println("credential " + chain.getCredentials().getAWSAccessKeyId());
        System.out.println("listing " + client.listObjectsV2(bucket).getObjectSummaries().get(0).getKey());
        System.out.println("object " + client.getObjectAsString(bucket, "greeting.txt"));
    }
}
