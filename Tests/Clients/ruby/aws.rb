# The AWS SDK for Ruby: the default credential chain, a listing and an object.
require 'aws-sdk-s3'

client = Aws::S3::Client.new(region: 'eu-west-1', endpoint: ENV.fetch('STORAGE_ENDPOINT'), force_path_style: true)
bucket = ENV.fetch('STORAGE_BUCKET')
puts "version aws-sdk-core #{Aws::CORE_GEM_VERSION}"
puts "credential #{client.config.credentials.credentials.access_key_id}"
puts "listing #{client.list_objects_v2(bucket: bucket).contents.first.key}"
puts "object #{client.get_object(bucket: bucket, key: 'greeting.txt').body.read}"
