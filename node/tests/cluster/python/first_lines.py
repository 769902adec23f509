import redis

r = redis.StrictRedis(host='localhost', port=6401, db=0)
r.set('key','value')
print(r.get('key'))
