import asyncio, sys, json
import pytest
from redis.asyncio import Redis
from headwater.store.redis.keys import Keys
from tests.workers.cluster import *
from tests.support.event_source import Refused
pytestmark = pytest.mark.anyio
async def log_string(r,k,i): await r.delete(k.log(i)); await r.set(k.log(i),"junk")
async def run_list(r,k,i): await r.delete(k.run(i)); await r.lpush(k.run(i),"junk")
async def req_junk(r,k,i): await r.set(k.request(i),"junk")
async def req_gone(r,k,i): await r.delete(k.request(i))
async def req_list(r,k,i): await r.delete(k.request(i)); await r.lpush(k.request(i),"junk")
async def entry_above(r,k,i): await r.xadd(k.log(i),{"x":"1"},id="999999-1")
async def entry_next(r,k,i):
    top=(await r.hget(k.run(i),"top")).decode(); seq,tag=top.split("-")
    await r.xadd(k.log(i),{"x":"1"},id=f"{seq}-{int(tag)+1}")
async def log_gone(r,k,i): await r.delete(k.log(i))
async def run_gone(r,k,i): await r.delete(k.run(i))
async def field_junk(r,k,i): await r.hset(k.run(i),"top","junk")
async def field_status(r,k,i): await r.hset(k.run(i),"status","junk")
async def field_until(r,k,i): await r.hset(k.run(i),"until","junk")
ALL=[log_string,run_list,req_junk,req_gone,req_list,entry_above,entry_next,log_gone,run_gone,field_junk,field_status,field_until]
@pytest.mark.parametrize("damage",ALL,ids=lambda d:d.__name__)
async def test_x(tmp_path, redis_url, damage):
    async with Cluster(tmp_path, redis_url, may_crash=True, **{**QUICK,"check_s":0.5}) as c:
        k=Keys(c.prefix)
        run=await c.start(Script(tokens=300,interval_s=.01), at=c.workers[0])
        other=await c.start(Script(tokens=300,interval_s=.01), at=c.workers[0])
        rs=[c.reader(run,at=w) for w in c.workers]; os_=[c.reader(other,at=w) for w in c.workers]
        fs=[asyncio.ensure_future(r.follow()) for r in rs]; of=[asyncio.ensure_future(r.follow()) for r in os_]
        await eventually(lambda: all(r.follower.seq>20 for r in rs+os_))
        async with Redis.from_url(redis_url) as r: await damage(r,k,run)
        done,pend=await asyncio.wait(fs+of,timeout=12)
        out=[]
        for f,r in zip(fs+of,rs+os_):
            if not f.done(): out.append("HANGS %s conns=%d seq=%d"%(r.follower.end,r.connections,r.follower.seq)); f.cancel()
            elif f.exception(): out.append("EXC %.250r"%f.exception())
            else: out.append("END %s conns=%d seq=%d"%(json.dumps(r.follower.end),r.connections,r.follower.seq))
        print("\n###",damage.__name__); print("\n".join(out))
        for w in c.workers[:2]:
            a=await c.client.get(w.url+"/v1/runs/"+run); print("GET",a.status_code,a.text[:200])
            a=await c.client.get(w.url+"/v1/runs"); print("LIST",a.status_code,a.text[:150], len(a.json().get("data",[])))
            a=await c.client.post(w.url+"/v1/runs/"+run+"/cancel"); print("CANCEL",a.status_code,a.text[:150])
        print("UP closed",[ (e.closed_at is not None, e.answered_at is not None) for e in c.calls(run)])
        for w in c.workers:
            e=w.stderr; print("STDERR", w.port, "TB" if "Traceback" in e else "", len(e)); print("\n".join(l[:220] for l in e.splitlines()[9:] if " INFO " not in l or "refus" in l)[:2500])
